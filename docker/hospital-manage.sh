#!/bin/sh
# Commands of manage.py, on a host without containers, as root: hospital-manage COMMAND [ARGUMENT…]
# With the variables, secrets and sandbox of the units (its name begins as theirs do).
#   AS        the account; hospital-notary for createlogkey
#   DATABASE  the secret with the database's URL; database_url_admin to migrate, grant and restore
#   WRITES    a directory it may write to, besides its own; where keys are made
set -eu
[ $# -gt 0 ] || { echo "hospital-manage COMMAND [ARGUMENT…]" >&2; exit 64; }
secrets=/etc/hospital/secrets
given='for name in secret_key audit_mac_key metrics_token broker_url cache_url database_url; do
  export "$(echo "$name" | tr a-z A-Z)_FILE=$CREDENTIALS_DIRECTORY/$name"
done
exec /opt/hospital/app/docker/entrypoint.sh manage "$@"'
keys=/etc/hospital/keys
if [ "${AS:-hospital}" = hospital-notary ]; then
  state="hospital-notary"
  set -- --setenv=NOTARY_KEY_FILE=/etc/hospital/notary/notary.pem -- sh -c "$given" manage "$@"
else
  state="hospital ledger hospital-backups"
  set -- --setenv=KEY_FILE=$keys/root_key --setenv=WORKER_PUBLIC_KEY_FILE=$keys/worker.pub \
    --setenv=WORKER_KEY_FILE=$keys/worker_key --setenv=BACKUP_DIR=/var/lib/hospital-backups \
    -- sh -c "$given" manage "$@"
fi
exec systemd-run --quiet --pipe --wait --collect --unit="hospital-manage-$$" \
  --uid="${AS:-hospital}" \
  --property=EnvironmentFile=/etc/hospital/hospital.env \
  --property=LoadCredential=secret_key:$secrets/secret_key \
  --property=LoadCredential=audit_mac_key:$secrets/audit_mac_key \
  --property=LoadCredential=metrics_token:$secrets/metrics_token \
  --property=LoadCredential=broker_url:$secrets/broker_url \
  --property=LoadCredential=cache_url:$secrets/cache_url \
  --property=LoadCredential=database_url:"$secrets/${DATABASE:-database_url}" \
  --property=StateDirectory="$state" --property=StateDirectoryMode=0700 \
  ${WRITES:+--property=ReadWritePaths="$WRITES"} "$@"
