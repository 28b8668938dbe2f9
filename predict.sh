#!/bin/sh
# Answers a FLARE input folder: ./predict.sh INPUT OUTPUT
# Without arguments, as the organizers run it in the container: /workspace/inputs -> /workspace/outputs
# Options are given by the environment: MEVLIP_CHECKPOINT, MEVLIP_DEVICE, ... (see `mevlip predict --help`).
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
# -P: nothing is imported from the current folder, whatever lies there.
PYTHONPATH=$here/submission${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m mevlip predict -- "$input" "$output"
