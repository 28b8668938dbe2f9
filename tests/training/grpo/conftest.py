"""Prepared rows of the demo, and runs planned on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.grpo.plan import GrpoRun, plan_grpo
from mevlip_training.grpo.settings import CONFIG
from tests.conftest import DEMO

SMALL = {
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "steps_per_generation": 2,
    "save_steps": 2,
    "max_steps": 4,
    "learning_rate": 1e-3,
    "gradient_checkpointing": False,
    "use_cpu": True,
}
"""Settings of a run that takes seconds: four questions with four answers each, two steps on these."""


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of all the demo's data sets, of one image each, prepared for its base; not to be changed."""
    folder = tmp_path_factory.mktemp("grpo")
    write_training(folder / "flare" / "training", 3, {one.name: 8 for one in DATASETS})
    base = read_checkpoint(DEMO).manifest.base
    choices = Choices("first", tokenizer=DEMO / "base", base_model=base.name, base_revision=base.revision)
    prepare(folder / "flare", folder / "data", choices, quiet=True)
    return folder / "data"


@pytest.fixture
def rows(written: Path, tmp_path: Path) -> Path:
    """The same rows, to be changed."""
    shutil.copytree(written, tmp_path / "data", symlinks=True)
    return tmp_path / "data"


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    """The demo's counting adapter as one to start from, to be changed."""
    shutil.copytree(DEMO / "adapters" / "counting", tmp_path / "adapters" / "counting")
    return tmp_path / "adapters"


@pytest.fixture
def plan(rows: Path, starts: Path, tmp_path: Path) -> Callable[..., GrpoRun]:
    """Plans a small run of counting on both."""

    def make(base: Path = DEMO / "base", **overlay: Any) -> GrpoRun:
        return plan_grpo("counting", CONFIG, rows, starts, tmp_path / "runs", SMALL | overlay, str(base))

    return make
