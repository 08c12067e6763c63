#!/bin/sh
# Runs node-smsc.js with node-smpp 0.5.1, fetched once into a directory that outlives the run (PEERS_DIR, else one in
# the temporary directory). Arguments go to node-smsc.js.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
modules=${PEERS_DIR:-${TMPDIR:-/tmp}/stentor-peers}/node
if [ ! -d "$modules/node_modules/smpp" ]; then
    mkdir -p "$modules"
    npm install --no-audit --no-fund --silent --prefix "$modules" smpp@0.5.1 >&2
fi
NODE_PATH=$modules/node_modules exec node "$here/node-smsc.js" "$@"
