"""TRL 0.24, made to import beside transformers 5.

transformers 5 answers whether a package is installed with a pair, also where TRL asks for a truth value; a pair is
always true, so that TRL would import packages that are not there.
"""

from __future__ import annotations

from typing import Any

from trl import import_utils

for _name, _found in vars(import_utils).copy().items():
    if _name.endswith("_available") and isinstance(_found, tuple):
        setattr(import_utils, _name, _found[0])

from trl.trainer.grpo_config import GRPOConfig  # noqa: E402 - the answers have to be corrected first
from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: E402

Config: Any = GRPOConfig
Trainer: Any = GRPOTrainer
"""Both as they are; untyped to us."""
