#!/bin/sh
# Commands of manage.py, on a host without containers, as root: hospital-manage COMMAND [ARGUMENT…]
# With the variables, secrets and sandbox of the units (its name begins as theirs do).
#   AS        the account; hospital-notary for createlogkey, root for collectstatic
#   DATABASE  the secret with the database's URL; database_url_admin to migrate, grant and restore
#   WRITES    a directory it may write to, besides its own; where keys are made
#   PLACE     where the program is; beside the one that serves, while an upgrade is prepared
# grantroles is given the passwords that lie beside the other secrets: password_app and so on.
set -eu
[ $# -gt 0 ] || { echo "hospital-manage COMMAND [ARGUMENT…]" >&2; exit 64; }
secrets=/etc/hospital/secrets
# No braces around a name in it, which systemd would fill in. What the sandbox's drop-in sets as
# well is set here, after it: the program's place, and a mask that lets others read what root makes.
given='for name in secret_key audit_mac_key metrics_token broker_url cache_url database_url; do
  export "$(echo "$name" | tr a-z A-Z)_FILE=$CREDENTIALS_DIRECTORY/$name"
done
command=$1
shift
for name in app notary auditor keeper; do
  [ ! -e "$CREDENTIALS_DIRECTORY/password_$name" ] ||
    set -- "--$name-password-file" "$CREDENTIALS_DIRECTORY/password_$name" "$@"
done
[ "$(id -u)" != 0 ] || umask 022
export PATH="$0/venv/bin:/usr/bin:/bin" STATIC_ROOT="$0/static"
cd "$0/app" || exit
exec docker/entrypoint.sh manage "$command" "$@"'
passwords=
if [ "$1" = grantroles ]; then
  for one in app notary auditor keeper; do
    [ ! -s "$secrets/password_$one" ] ||
      passwords="$passwords --property=LoadCredential=password_$one:$secrets/password_$one"
  done
fi
keys=/etc/hospital/keys
set -- -- sh -c "$given" "${PLACE:-/opt/hospital}" "$@"
case ${AS:-hospital} in
hospital-notary)
  state="hospital-notary"
  set -- --setenv=NOTARY_KEY_FILE=/etc/hospital/notary/notary.pem "$@" ;;
hospital)
  state="hospital ledger hospital-backups"
  set -- --setenv=KEY_FILE=$keys/root_key --setenv=WORKER_PUBLIC_KEY_FILE=$keys/worker.pub \
    --setenv=WORKER_KEY_FILE=$keys/worker_key --setenv=BACKUP_DIR=/var/lib/hospital-backups "$@" ;;
*) state= ;; # systemd would give it the directories of those who serve
esac
exec systemd-run --quiet --pipe --wait --collect --unit="hospital-manage-$$" \
  --uid="${AS:-hospital}" \
  --property=EnvironmentFile=/etc/hospital/hospital.env \
  --property=LoadCredential=secret_key:$secrets/secret_key \
  --property=LoadCredential=audit_mac_key:$secrets/audit_mac_key \
  --property=LoadCredential=metrics_token:$secrets/metrics_token \
  --property=LoadCredential=broker_url:$secrets/broker_url \
  --property=LoadCredential=cache_url:$secrets/cache_url \
  --property=LoadCredential=database_url:"$secrets/${DATABASE:-database_url}" \
  $passwords \
  ${state:+--property=StateDirectory="$state" --property=StateDirectoryMode=0700} \
  ${WRITES:+--property=ReadWritePaths="$WRITES"} "$@"
