from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip.inference.model import VisionLanguageModel
from mevlip_training.shapes.internvl3 import thin
from tests.conftest import DEMO


@pytest.mark.model
def test_questions_are_answered_at_a_thin_size_without_a_gpu(tmp_path: Path) -> None:
    """The figures mean nothing there."""
    checkpoint, model = gpu.load(thin(), torch.device("cpu"), tmp_path / "cache")
    folders = gpu.read(tmp_path / "in", 12)
    rows = gpu.answer(checkpoint.folder, model, folders)
    assert [row[0] for row in rows if row[0]] == [task.value for task in folders]
    assert sum(int(str(row[2])) for row in rows) == 12


@pytest.mark.model
def test_only_one_adapter_is_trained() -> None:
    model = VisionLanguageModel.load(open_checkpoint(DEMO), torch.device("cpu"), reference=True)
    steps = list(gpu.train(model, [(1, 60, 1)] * 3))
    assert [step[:3] for step in steps] == [(1, 60, 1)] * 3 and all(float(str(step[3])) > 0 for step in steps)
    trained = {name for name, parameter in model._model.named_parameters() if parameter.requires_grad}
    assert trained and all(".generalist." in name and "lora_" in name for name in trained)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="no usable CUDA GPU"):
        gpu.main(1)
