"""Rows for the tests of scoring."""

from __future__ import annotations

from pathlib import Path

from mevlip.tasks import TaskType
from mevlip_validation.scoring.rows import Row

QUESTIONS = {
    TaskType.CLASSIFICATION: "Which? A: No, B: Yes, C: Luminal b",
    TaskType.MULTI_LABEL: "All that apply, with semicolons: Dental Caries; Pulp Diseases.",
    TaskType.INSTANCE_DETECTION: "Boxes of all as JSON, a key for each number.",
    TaskType.DETECTION: "Where is it, as a bounding box [x_min, y_min, x_max, y_max]?",
}


def make_row(task: TaskType, said: str | None, truth: str, dataset: str = "one", image: str = "a.png") -> Row:
    """A row of a data set without files."""
    question = QUESTIONS.get(task, "How much?")
    return Row(dataset, task, "X-ray", (image,), question, truth, said, f"{dataset}[0]", Path())
