"""Runs the configs of Fleming-VL's stages for two steps each, one after the other; prints what was read of them.

Runs in the training environment: `run_stages.py OVERLAY CONFIG...`, in the folder that the runs go to, with the folder
`training/mevlip_training/cpu` on PYTHONPATH.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from llamafactory.hparams import get_train_args
from llamafactory.train.tuner import run_exp


def main(overlay: Path, configs: list[Path]) -> None:
    """Each stage is first read as written, but for what needs another package or GPUs, then run with the overlay."""
    report = {}
    for number, config in enumerate(configs):
        settings = yaml.safe_load(config.read_text("utf-8"))
        del settings["deepspeed"]  # its package is not installed
        groups = get_train_args({**settings, "use_cpu": True})
        report[config.stem] = {key: value for group in groups for key, value in vars(group).items() if key in settings}
        run_exp({**settings, **json.loads(overlay.read_bytes()), **({} if number else {"model_name_or_path": "base"})})
    print(json.dumps(report, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(one) for one in sys.argv[2:]])
