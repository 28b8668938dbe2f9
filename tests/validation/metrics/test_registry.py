"""Every task has its file of metrics, and a task without one is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mevlip.tasks import TASKS, TaskType
from mevlip_validation import metrics
from mevlip_validation.metrics import metrics_of, missing_rooms
from mevlip_validation.output import score_rows
from mevlip_validation.protocols import scorings
from mevlip_validation.score import score
from tests.validation.rows import make_row

PLANTED = """
from mevlip_validation.metrics.base import Measure, TaskMetrics, most_frequent_target
from mevlip_validation.statistics import Aggregate


def exact(rows):
    return Aggregate(tuple(float(row.prediction == row.target) for row in rows))


METRICS = TaskMetrics((Measure("exact", "higher", "exact", exact),), most_frequent_target)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules belong to the metrics package while the test runs."""
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{metrics.__name__}.segmentation", raising=False)
    monkeypatch.delattr(metrics, "segmentation", raising=False)
    metrics_of.cache_clear()
    return tmp_path


def test_every_task_has_its_room() -> None:
    assert missing_rooms() == []


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_measure_under_macro(task: TaskType) -> None:
    found = metrics_of(task)
    assert found.main.direction == TASKS[task].direction
    assert "macro" in {scoring.protocol for scoring in scorings(task, found.main)}


def test_an_eighth_task_without_metrics_is_named_with_the_missing_file(folder: Path) -> None:
    [line] = missing_rooms([*TASKS, "segmentation"])
    assert line == "segmentation has no metrics: add mevlip_validation/metrics/segmentation.py, which defines METRICS"
    with pytest.raises(LookupError, match="segmentation has no metrics"):
        metrics_of("segmentation")
    (folder / "segmentation.py").write_text("MEASURES = ()\n")
    [line] = missing_rooms([*TASKS, "segmentation"])
    assert line.endswith("metrics/segmentation.py does not define METRICS, a TaskMetrics")


def test_one_file_of_metrics_is_enough_for_a_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "segmentation.py").write_text(PLANTED)
    task = TASKS[TaskType.REPORT]
    monkeypatch.setattr("mevlip_validation.score.TASKS", {"segmentation": task})
    monkeypatch.setattr("mevlip_validation.output.TASKS", {"segmentation": task})
    rows = [make_row("segmentation", text, "x") for text in ("x", "y")]  # type: ignore[arg-type]  # a task to come
    _, cells = score_rows(score(rows))
    assert [row[2:6] for row in cells] == [("exact", "-", "-", "0.500")]
