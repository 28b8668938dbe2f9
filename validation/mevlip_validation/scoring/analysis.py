"""Where the points are lost: each question's own result, and what the results have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import isnan

import numpy as np

from mevlip.answers import STAGES
from mevlip.reading import read_answer
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_validation.scoring.bootstrap import score_of
from mevlip_validation.scoring.calibration import ReliabilityBin, expected_calibration_error, reliability
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules import meant_rule
from mevlip_validation.scoring.rules.macro import error_of, number_of

NEAR, CLOSE = 0.05, 0.25
"""A number within this share of the truth is right, or partly right."""
UNKNOWN = "(none)"

Rows = Sequence[Row]


class Verdict(StrEnum):
    """How a question came out."""

    RIGHT = "right"
    PARTLY = "partly right"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True)
class Judged:
    """A question's own result.

    Attributes:
        row: The question.
        points: 0 to 1: its own F1, whether the option is right, ROUGE-L, or 1 less the relative error of a number.
        error: Absolute error of a number; None for other tasks.
    """

    row: Row
    points: float
    error: float | None

    @property
    def verdict(self) -> Verdict:
        """Right, partly right, wrong or missing."""
        if self.row.said is None:
            return Verdict.MISSING
        numeric = self.error is not None
        if self.points >= (1 - NEAR if numeric else 1):
            return Verdict.RIGHT
        return Verdict.PARTLY if self.points > (1 - CLOSE if numeric else 0) else Verdict.WRONG

    @cached_property
    def stage(self) -> str:
        """How the predictor's parsers came by the answer: as recorded, else from reading the prediction again."""
        recorded = self.row.explanation.get("stage")
        if recorded in STAGES:
            return str(recorded)
        return read_answer(self.row.task, self.row.said or "", self.row.spec).stage

    @property
    def empty(self) -> bool:
        """Whether nothing is said to be there: no answer, no box, a count of zero."""
        said = (self.row.said or "").strip()
        if self.row.task is TaskType.COUNTING:
            return not said or number_of(self.row.meant) == 0
        return said in ("", "[]", "[[]]", "{}")

    @property
    def probability(self) -> float | None:
        """The model's own probability of its answer, where it was recorded."""
        value = self.row.explanation.get("probability")
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Slice:
    """Questions of one task, modality and data set.

    Attributes:
        task: The task.
        modality: The modality.
        dataset: The data set.
        questions: Their number.
        score: The task's first measure over them, answers read for what they mean.
        verdicts: How many came out how.
    """

    task: TaskType
    modality: str
    dataset: str
    questions: int
    score: float
    verdicts: Counter[Verdict]


@dataclass(frozen=True)
class Calibration:
    """Confidences against what came true.

    Attributes:
        title: What the confidences are about.
        bins: The reliability diagram.
        answers: Number of confidences.
    """

    title: str
    bins: tuple[ReliabilityBin, ...]
    answers: int

    @property
    def error(self) -> float:
        """Expected calibration error."""
        return expected_calibration_error(self.bins)


def judge(rows: Rows) -> list[Judged]:
    """Each question's own result, in order."""
    return [_judge(row) for row in rows]


def worst(judged: Sequence[Judged], most: int = 10) -> dict[TaskType, list[Judged]]:
    """The questions of each task that cost most, the worst first; right ones are left out."""
    found = {}
    for task in TASKS:
        mine = [one for one in judged if one.row.task is task and one.verdict is not Verdict.RIGHT]
        if mine:
            found[task] = sorted(mine, key=lambda one: (one.points, -(one.error or 0.0)))[:most]
    return found


def slices(judged: Sequence[Judged]) -> list[Slice]:
    """Scores by task, modality and data set."""
    groups: dict[tuple[TaskType, str, str], list[Judged]] = {}
    for one in judged:
        groups.setdefault((one.row.task, one.row.modality, one.row.dataset), []).append(one)
    order = list(TASKS)
    found = []
    for key in sorted(groups, key=lambda key: (order.index(key[0]), *key[1:])):
        group = groups[key]
        score = score_of(meant_rule(key[0]).tally([one.row for one in group]), len(group))
        found.append(Slice(*key, len(group), score, Counter(one.verdict for one in group)))
    return found


def confusions(judged: Sequence[Judged]) -> dict[str, Counter[tuple[str, str]]]:
    """Truth and answer of the single-choice questions of each data set, with how often they met."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for one in judged:
        if one.row.task is TaskType.CLASSIFICATION:
            truth, said = (meant.format() if meant else UNKNOWN for meant in (one.row.meant_truth, one.row.meant))
            found.setdefault(one.row.dataset, Counter())[truth, said] += 1
    return found


def routings(judged: Sequence[Judged]) -> Counter[tuple[TaskType, str]]:
    """Declared task and adapter that answered, with how often they met; empty without explanations."""
    return Counter(
        (one.row.task, str(one.row.explanation["adapter"])) for one in judged if "adapter" in one.row.explanation
    )


def stages(judged: Sequence[Judged]) -> dict[TaskType, Counter[str]]:
    """How the answers of each task came about."""
    return {task: Counter(one.stage for one in judged if one.row.task is task) for task in _present(judged)}


def empties(judged: Sequence[Judged]) -> dict[TaskType, tuple[int, int, int]]:
    """Questions of each task, how many were answered with nothing or zero, and for how many that is the truth."""
    found = {}
    for task in _present(judged):
        mine = [one for one in judged if one.row.task is task]
        true = sum(one.empty and one.verdict is Verdict.RIGHT for one in mine)
        found[task] = len(mine), sum(one.empty for one in mine), true
    return found


def calibrations(judged: Sequence[Judged]) -> list[Calibration]:
    """Reliability of the answers' probabilities and of the router's confidences, where they were recorded."""
    answers = [
        (one.probability, one.verdict is Verdict.RIGHT)
        for one in judged
        if one.probability is not None and one.row.task is TaskType.CLASSIFICATION
    ]
    routes = [
        (
            float(one.row.explanation["router_confidence"]),
            parse_task_type(one.row.explanation.get("task")) is one.row.task,
        )
        for one in judged
        if one.row.explanation.get("router_confidence")
    ]
    found = []
    for title, pairs in (("probability of the chosen option", answers), ("confidence of the router", routes)):
        if pairs:
            confidence, right = zip(*pairs, strict=True)
            bins = reliability(np.array(confidence, dtype=float), np.array(right, dtype=bool))
            found.append(Calibration(title, bins, len(pairs)))
    return found


def _judge(row: Row) -> Judged:
    if row.task in (TaskType.COUNTING, TaskType.REGRESSION):
        error = error_of(row)
        if isnan(error):
            return Judged(row, 0.0, None)
        scale = max(abs(number_of(row.meant_truth)), 1.0)
        return Judged(row, max(0.0, 1 - error / scale), error)
    points = score_of(meant_rule(row.task).tally([row]), 1)
    return Judged(row, 0.0 if isnan(points) else points, None)


def _present(judged: Sequence[Judged]) -> list[TaskType]:
    present = {one.row.task for one in judged}
    return [task for task in TASKS if task in present]
