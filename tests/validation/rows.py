"""Rows for the tests of scoring."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from mevlip.runs.explanations import Explanation
from mevlip.tasks import TaskType
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import Scoring, scorings

QUESTIONS = {
    TaskType.CLASSIFICATION: "Which? A: No, B: Yes, C: Luminal b",
    TaskType.MULTI_LABEL: "All that apply, with semicolons: Dental Caries; Pulp Diseases.",
    TaskType.INSTANCE_DETECTION: "Boxes of all as JSON, a key for each number.",
    TaskType.DETECTION: "Where is it, as a bounding box [x_min, y_min, x_max, y_max]?",
}


def make_row(task: TaskType, prediction: Any, target: Any, dataset: str = "one", image: str = "a.png") -> Row:
    """A row of a data set without files; a prediction of None is absent."""
    question = QUESTIONS.get(task, "How much?")
    return Row(
        dataset,
        task,
        "X-ray",
        (image,),
        question,
        target,
        () if prediction is None else (prediction,),
        f"{dataset}[0]",
        Path(),
    )


def answers(right: float, seed: int, count: int = 60) -> list[Row]:
    """Classification rows, each about an image of its own, of which a share is right."""
    rng = np.random.default_rng(seed)
    truth = ["AB"[index % 2] for index in range(count)]
    said = [t if rng.random() < right else "BA"["AB".index(t)] for t in truth]
    return [
        replace(make_row(TaskType.CLASSIFICATION, s, t, image=f"{i}.png"), place=f"f[{i}]")
        for i, (s, t) in enumerate(zip(said, truth, strict=True))
    ]


def scoring_of(task: TaskType, protocol: str, measure: int = 0) -> Scoring:
    """How a protocol scores a measure of a task."""
    return next(one for one in scorings(task, metrics_of(task).measures[measure]) if one.protocol == protocol)


def scores_of(task: TaskType, rows: list[Row]) -> dict[str, float]:
    """What each protocol makes of rows of a task, by its first measure; board2026 reads as flare25 does."""
    found = {one.protocol: score_of(one.statistic(rows), len(rows)) for one in scorings(task, metrics_of(task).main)}
    board = found.pop("board2026", None)
    assert board is None or board == found["flare25"] or isnan(board) == isnan(found["flare25"])
    return found


def make_explanation(answer: str, task: TaskType, adapter: str, **known: Any) -> Explanation:
    """An explanation of an answer without images and options."""
    facts: dict[str, Any] = {
        "router_confidence": 0.9, "stage": "strict", "reason": "", "problems": (), "probability": None,
        "option_probabilities": {}, "options": (), "several": False, "separator": "", "shape": "", "unit": "",
    }  # fmt: skip
    return Explanation("f[0]", (), task, known.pop("routed_task", task), adapter, answer=answer, **facts | known)
