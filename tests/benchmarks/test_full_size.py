from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import full_size
from benchmarks.full_size import BUDGETS, measure, write
from mevlip.checkpoints.checkpoint import open_checkpoint, stored_quantization
from mevlip.tasks import TaskType
from mevlip_training.shapes.internvl3 import thin
from tests.conftest import DEMO, EXAMPLES


@pytest.mark.model
def test_the_measurement_runs_at_a_thin_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every phase and every task of both ways of storing the base; the figures mean nothing at this size."""
    monkeypatch.setattr(full_size, "in_a_process", lambda function, *arguments: function(*arguments))
    written, (plain, packed) = write(tmp_path, thin(), DEMO / "router")
    assert [row[0] for row in written] == ["random base", "adapters", "assemble", "assemble --quantize nf4"]
    assert stored_quantization(open_checkpoint(plain).base) is None
    assert stored_quantization(open_checkpoint(packed).base)
    assert write(tmp_path, thin(), DEMO / "router")[0] == [], "what is there is kept"
    for folder in (plain, packed):
        measured = measure(folder, EXAMPLES)
        phases = [str(row[0]) for row in measured.phases]
        assert phases[:5] == ["imports", "verify", "load base", "load adapters", "prove adapters"]
        assert [phase for phase in phases if phase.startswith("answer")] == [f"answer {task}" for task in TaskType]
        for row in measured.answers:
            task, questions, tiles, tokens, forwards = row[:5]
            assert (questions, isinstance(tiles, int) and tiles >= 1) == (2, True)
            assert isinstance(tokens, int) and isinstance(forwards, int)
            assert tokens > 256 * tiles
            assert 1 <= forwards <= BUDGETS[TaskType(str(task))]


def test_what_is_measured_has_a_process_of_its_own() -> None:
    assert full_size.in_a_process(os.getppid) == os.getpid()
