#!/bin/sh
# Make what is this installation's own: secrets, an inner authority, certificates. Nothing that is
# there is replaced. As root, once, on the host: docker/prepare.sh NAME [DIRECTORY]
#   NAME: how terminals and staff reach us, as jiandang.hospital.example
set -eu
umask 077
name=${1:?docker/prepare.sh NAME [DIRECTORY]}
place=${2:-$(dirname "$0")/secrets}
APP=10001 SERVER=999 PROXY=101 # users inside the images; database, broker and cache are each 999 in theirs
mkdir -p "$place/keys" # what `manage.py create…key` makes
chown "$APP:$APP" "$place/keys"
chmod 711 "$place" # each file has its own reader
cd "$place"

secret() { # NAME VALUE: without a newline, which some readers would take for a part of it
  [ -s "$1" ] || printf '%s' "$2" >"$1"
}

secret secret_key "$(openssl rand -hex 48)"
secret audit_mac_key "$(openssl rand -base64 32)"
secret metrics_token "$(openssl rand -hex 32)"
for account in postgres app notary auditor keeper broker cache; do
  secret "password_$account" "$(openssl rand -hex 32)"
done

url() { # FILE ACCOUNT PASSWORD
  secret "$1" \
    "postgres://$2:$(cat "$3")@db/hospital?sslmode=verify-full&sslrootcert=/run/secrets/ca.pem"
}
url database_url hospital_app password_app
url database_url_admin postgres password_postgres
url database_url_notary hospital_notary password_notary
url database_url_auditor hospital_auditor password_auditor
url database_url_keeper hospital_keeper password_keeper
secret broker_url "amqps://hospital:$(cat password_broker)@broker//"
secret cache_url "rediss://:$(cat password_cache)@cache/1"
secret broker.conf "default_user = hospital
default_pass = $(cat password_broker)
"
secret cache.conf "requirepass $(cat password_cache)
"

authority() { # its key is taken off the host, and has to be back for whatever it signs later
  if [ -s ca.pem ] && [ ! -s ca.key ]; then
    echo "有 ca.pem，没有 ca.key：先把 ca.key 放回 $place，再运行一次" \
      "/ ca.key is not beside ca.pem: put it back into $place and run this again" >&2
    exit 1
  fi
  [ -s ca.key ] || openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  [ -s ca.pem ] || openssl req -x509 -new -key ca.key -sha256 -days 3650 -out ca.pem \
    -subj "/CN=face-onboarding inner authority" -addext "keyUsage=critical,keyCertSign,cRLSign"
}
certificate() { # FILE NAME
  [ ! -s "$1.pem" ] || return 0
  authority
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$2" |
    openssl x509 -req -sha256 -days 825 -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.pem" \
      -extfile /dev/fd/3 3<<EXTENSIONS
subjectAltName=DNS:$2
basicConstraints=critical,CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
EXTENSIONS
}
for server in db broker cache; do certificate "$server" "$server"; done
certificate proxy "$name" # to try it with; put the hospital's own in its place

chown "$APP:$APP" secret_key audit_mac_key metrics_token password_* database_url* broker_url cache_url
chown "$SERVER:$SERVER" db.* broker.* cache.* password_postgres
chown "$PROXY:$PROXY" proxy.*
chmod 644 ca.pem
[ ! -e ca.key ] || chmod 600 ca.key
echo "已准备好：$place。把 ca.key 移到离线介质，所有文件另行备份"
