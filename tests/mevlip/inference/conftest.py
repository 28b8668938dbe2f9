"""The demo checkpoint and its model, loaded once for a module."""

from __future__ import annotations

import pytest
import torch

from mevlip.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mevlip.inference.model import VisionLanguageModel
from tests.conftest import DEMO


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return open_checkpoint(DEMO)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> VisionLanguageModel:
    return VisionLanguageModel.load(checkpoint, torch.device("cpu"))


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint) -> VisionLanguageModel:
    return VisionLanguageModel.load(checkpoint, torch.device("cpu"), reference=True)
