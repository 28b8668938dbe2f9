"""The demo checkpoint and its model, loaded once."""

from __future__ import annotations

import pytest
import torch

from mevlip.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mevlip.inference.model import VisionLanguageModel
from tests.conftest import DEMO, load_once


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return open_checkpoint(DEMO)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> VisionLanguageModel:
    return load_once(checkpoint)


@pytest.fixture(scope="session")
def reference() -> VisionLanguageModel:
    return VisionLanguageModel.load(open_checkpoint(DEMO), torch.device("cpu"), reference=True)
