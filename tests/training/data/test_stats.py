from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_training.data.records import read_examples
from mevlip_training.data.stats import Cell, count, write_report
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]


@pytest.fixture
def root(flare: Flare) -> Path:
    flare(row(), row(), measure("1"), place="Xray/dental")
    flare(boxes([[1, 2, 3, 4]]), place="Ultrasound/scan")
    return flare(row(""), split="validation-hidden", place="Clinical/baby", suffix="val")


def test_questions_are_counted_in_the_challenges_order(root: Path) -> None:
    assert list(count(read_examples(root)).items()) == [
        (Cell("training", "Ultrasound", TaskType.DETECTION), 1),
        (Cell("training", "Xray", TaskType.CLASSIFICATION), 2),
        (Cell("training", "Xray", TaskType.REGRESSION), 1),
        (Cell("validation-hidden", "Clinical", TaskType.CLASSIFICATION), 1),
    ]


@pytest.mark.slow
def test_the_report_is_written_and_the_same_each_time(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    counts = count(read_examples(root))
    first, second = write_report(counts, tmp_path / "a"), write_report(counts, tmp_path / "b")
    assert [path.name for path in first] == [
        "counts.csv", "modalities.png", "modalities.svg", "modalities_per_task.png", "modalities_per_task.svg",
    ]  # fmt: skip
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert (tmp_path / "a" / "counts.csv").read_text().splitlines()[:2] == [
        "split,modality,task,questions",
        "training,Ultrasound,detection,1",
    ]
    drawing = first[-1].read_text()
    assert "Instance detection" in drawing and "validation-hidden" in drawing


def test_without_matplotlib_the_remedy_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(EnvironmentProblem, match=r"me-vlip\[report\]"):
        write_report(count(read_examples(root)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
