#!/bin/sh
# The image without Docker: Debian's own mmdebstrap and buildah, as root.
#   docker/build-without-engine.sh DIRECTORY      → DIRECTORY/image is its root, …/config.json the rest
set -eu
place=$(mkdir -p "${1:?DIRECTORY}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
export CONTAINERS_STORAGE_CONF="$place/storage.conf"
cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "vfs"
runroot = "$place/run"
graphroot = "$place/storage"
CONF
quietly() { "$@" >"$place/log" 2>&1 || { cat "$place/log" >&2; exit 1; }; }

if ! buildah inspect --type image "localhost/debian-$suite" >/dev/null 2>&1; then
  quietly mmdebstrap --variant=minbase --include=ca-certificates "$suite" "$place/base.tar"
  base=$(buildah from scratch)
  quietly buildah add "$base" "$place/base.tar" /
  quietly buildah commit "$base" "localhost/debian-$suite"
  buildah rm "$base" >/dev/null
  rm "$place/base.tar"
fi
# A machine whose way out is watched has an authority of its own for it; it stays out of the image.
quietly buildah bud --isolation chroot --format docker --file docker/Dockerfile \
  --volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
  --build-arg "BASE=localhost/debian-$suite" ${PIP_INDEX_URL:+--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"} \
  --tag localhost/face-onboarding .
buildah inspect --type image localhost/face-onboarding >"$place/config.json"
ln -sfn "$(buildah mount "$(buildah from localhost/face-onboarding)")" "$place/image"
buildah images --format '{{.Name}} {{.Size}}' localhost/face-onboarding
