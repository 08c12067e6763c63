#!/bin/sh
# Runs smpplib-client.py with smpplib 2.2.4, fetched once into a directory that outlives the run (PEERS_DIR, else one
# in the temporary directory). Arguments go to smpplib-client.py.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
packages=${PEERS_DIR:-${TMPDIR:-/tmp}/stentor-peers}/python
if [ ! -d "$packages/smpplib" ]; then
    python3 -m pip install --quiet --disable-pip-version-check --target "$packages" smpplib==2.2.4 >&2
fi
PYTHONPATH=$packages exec python3 "$here/smpplib-client.py" "$@"
