#!/bin/sh
# How each process is started, in a container and by systemd: entrypoint.sh ROLE [ARGUMENT…]
set -eu
role=${1:-web}
[ $# -eq 0 ] || shift
case $role in
web) # GRANIAN_HOST, GRANIAN_PORT and GRANIAN_WORKERS are its own variables
  exec granian --interface wsgi --blocking-threads "${WEB_THREADS:-64}" --no-ws \
    --log-level warning hospital.wsgi:application "$@" ;;
worker) # a thread keeps its connection while WeChat is asked: 32 of them, and what looks after them
  threads=${WORKER_THREADS:-32}
  export DATABASE_POOL="${DATABASE_POOL:-$((threads + 8))}"
  exec celery -q -A hospital.celery:app worker --pool threads \
    --concurrency "$threads" --loglevel WARNING "$@" ;;
beat) exec celery -q -A hospital.celery:app beat --loglevel WARNING --pidfile= "$@" ;;
notary) exec python manage.py runnotary "$@" ;;
forwarder) exec python manage.py runforwarder "$@" ;;
witness) # no settings, no database, no secret; LOG_VERIFIER: the public key of the log
  exec python -m hospital.audit.witness ${LOG_VERIFIER:+--log "$LOG_VERIFIER"} "$@" ;;
demo) exec python -m hospital.demo "$@" ;;
migrate) # with arguments, `grantroles` as well, which each new table needs
  python manage.py migrate --no-input
  [ -z "${KEYS_DATABASE_URL:-}${KEYS_DATABASE_URL_FILE:-}" ] ||
    python manage.py migrate --no-input --database keys
  [ -z "${LEDGER_DATABASE_URL:-}${LEDGER_DATABASE_URL_FILE:-}" ] ||
    python manage.py migrate --no-input --database ledger
  [ $# -eq 0 ] || exec python manage.py grantroles "$@" ;;
manage) exec python manage.py "$@" ;;
*)
  echo "没有这个角色：$role / no such role" >&2
  exit 64 ;;
esac
