#!/bin/sh
# Answers a FLARE input folder: ./predict.sh INPUT OUTPUT
# Without arguments, as in the official command: /workspace/inputs -> /workspace/outputs
# Options are set by environment variables: MEVLIP_CHECKPOINT, MEVLIP_DEVICE, ... (see `mevlip predict --help`).
set -eu

case $# in
  0) input=/workspace/inputs output=/workspace/outputs ;;
  2) input=$1 output=$2 ;;
  *)
    echo "usage: predict.sh [INPUT OUTPUT]" >&2
    exit 2
    ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -x "$here/.venv/bin/python" ]; then
  python=$here/.venv/bin/python
else
  python=python3
fi
# -P: never import from the current folder.
PYTHONPATH=$here/submission${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m mevlip predict -- "$input" "$output"
