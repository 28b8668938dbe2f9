"""Runs one GRPO training: `python -m mevlip_training.grpo.runner CONFIG`, in the training environment.

`mevlip train grpo` writes the config and starts this; what ends the run is left in a file for it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from mevlip.core.errors import MevlipError
from mevlip.core.offline import go_offline

FAILURE_NAME = "failure.json"
"""Cause and remedy of what ended a run early."""

if __name__ == "__main__":
    go_offline()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the Trainer would divide four-bit weights over all GPUs
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from mevlip_training.grpo.trainer import train

    [config] = map(Path, sys.argv[1:])
    try:
        train(config)
    except MevlipError as error:
        failure = {"cause": error.cause, "remedy": error.remedy}
        (config.parent / FAILURE_NAME).write_text(json.dumps(failure), "utf-8")
        sys.exit(int(error.exit_code))
