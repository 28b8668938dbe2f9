"""Error analysis: the result of each question, and what the results have in common."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from mevlip.reading import read_answer
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.box_matching import pairs_by_overlap
from mevlip_validation.calibration import ReliabilityBin, expected_calibration_error, reliability
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, estimate
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of
from mevlip_validation.metrics.boxes import THRESHOLDS, boxes_of

NEAR, CLOSE = 0.05, 0.25
"""A number within this share of the target is right, or partly right."""
UNKNOWN = "(none)"
OTHER = "other"
IDENTITIES = (*map(str, range(1, 23)), "X", "Y", OTHER)
"""The human chromosomes, and whatever else an answer names."""

Rows = Sequence[Row]


class Correctness(StrEnum):
    """Whether a prediction is right."""

    RIGHT = "right"
    PARTLY = "partly right"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True)
class QuestionResult:
    """The result of one question.

    Attributes:
        row: The question.
        points: 0 to 1: its own F1, whether the option is right, ROUGE-L, or 1 less the relative error of a number.
        error: Absolute error of a number; None for other tasks.
    """

    row: Row
    points: float
    error: float | None

    @property
    def correctness(self) -> Correctness:
        """Right, partly right, wrong or missing."""
        if self.row.prediction is None:
            return Correctness.MISSING
        numeric = self.error is not None
        if self.points >= (1 - NEAR if numeric else 1):
            return Correctness.RIGHT
        return Correctness.PARTLY if self.points > (1 - CLOSE if numeric else 0) else Correctness.WRONG

    @cached_property
    def stage(self) -> str:
        """How the predictor parsed the answer: as recorded, else from parsing the prediction again."""
        if self.row.explanation:
            return self.row.explanation.stage
        return read_answer(self.row.task, self.row.prediction or "", self.row.spec).stage

    @property
    def empty(self) -> bool:
        """Whether the prediction reports nothing: no answer, no box, a count of zero."""
        return metrics_of(self.row.task).is_empty(self.row)

    @property
    def probability(self) -> float | None:
        """The model's own probability of its answer, where it was recorded."""
        return self.row.explanation.probability if self.row.explanation else None


@dataclass(frozen=True)
class Slice:
    """Questions of one task, modality and data set.

    Attributes:
        task: The task.
        modality: The modality.
        dataset: The data set.
        questions: Their number.
        estimate: The task's first measure over them, of parsed answers, with its interval.
        correctness: How many are right, partly right, wrong and missing.
    """

    task: TaskType
    modality: str
    dataset: str
    questions: int
    estimate: Estimate
    correctness: Counter[Correctness]

    @property
    def score(self) -> float:
        """The score without its interval."""
        return self.estimate.value


@dataclass(frozen=True)
class IdentityConfusion:
    """Which chromosome was taken for which, of boxes that overlap whatever their identity.

    Attributes:
        pairs: True and predicted identity of boxes that lie on each other, with how often they met.
        missed: True boxes of each identity that no predicted box lies on.
        spurious: Predicted boxes of each identity that lie on no true box.
    """

    pairs: Counter[tuple[str, str]]
    missed: Counter[str]
    spurious: Counter[str]

    @property
    def right(self) -> int:
        """Boxes found with their identity."""
        return sum(count for (true, predicted), count in self.pairs.items() if true == predicted)


@dataclass(frozen=True)
class Flips:
    """The questions of a task as two systems answer them.

    Attributes:
        task: The task.
        both: Questions that both answer right.
        here: Those that only the first answers right.
        there: Those that only the second answers right.
        neither: Those that neither does.
    """

    task: TaskType
    both: int
    here: int
    there: int
    neither: int


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy.

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


def evaluate_questions(rows: Rows) -> list[QuestionResult]:
    """The result of each question, in order."""
    return [QuestionResult(row, *metrics_of(row.task).points_of(row)) for row in rows]


def worst(results: Sequence[QuestionResult], most: int = 10) -> dict[TaskType, list[QuestionResult]]:
    """The questions of each task with the fewest points, the worst first; right ones are left out."""
    found = {}
    for task in TASKS:
        mine = [one for one in results if one.row.task is task and one.correctness is not Correctness.RIGHT]
        if mine:
            found[task] = sorted(mine, key=lambda one: (one.points, -(one.error or 0.0)))[:most]
    return found


def slices(results: Sequence[QuestionResult], resamples: int = RESAMPLES, seed: int = SEED) -> list[Slice]:
    """Scores by task, modality and data set, with intervals from the bootstrap over images that the scores have."""
    groups: dict[tuple[TaskType, str, str], list[QuestionResult]] = {}
    for one in results:
        groups.setdefault((one.row.task, one.row.modality, one.row.dataset), []).append(one)
    order = list(TASKS)
    found = []
    for key in sorted(groups, key=lambda key: (order.index(key[0]), *key[1:])):
        group = groups[key]
        bootstrap = Bootstrap([one.row.cluster for one in group], resamples, seed)
        main = metrics_of(key[0]).main
        own = estimate(bootstrap, main.statistic([one.row for one in group]), main.scale)
        found.append(Slice(*key, len(group), own, Counter(one.correctness for one in group)))
    return found


def confusions(results: Sequence[QuestionResult]) -> dict[str, Counter[tuple[str, str]]]:
    """Target and prediction of the single-choice questions of each data set, with how often they met."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for one in results:
        if metrics_of(one.row.task).is_single_choice:
            parsed = (one.row.parsed_target, one.row.parsed_prediction)
            target, prediction = (answer.format() if answer else UNKNOWN for answer in parsed)
            found.setdefault(one.row.dataset, Counter())[target, prediction] += 1
    return found


def identity_confusion(results: Sequence[QuestionResult]) -> IdentityConfusion | None:
    """Confusions of chromosomes: the greatest overlap first, from the challenge's least IoU on, identities aside.

    Args:
        results: The results of all questions; those of other tasks are left out.

    Returns:
        The confusions by `IDENTITIES`; None where no question asks for instances.
    """
    mine = [one.row for one in results if one.row.task is TaskType.INSTANCE_DETECTION]
    if not mine:
        return None
    pairs, missed, spurious = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for row in mine:
        target, predicted = boxes_of(row.parsed_target), boxes_of(row.parsed_prediction)
        true, guessed = ([_identity(name) for name, _ in boxes] for boxes in (target, predicted))
        nameless, guesses = ([("", box) for _, box in boxes] for boxes in (target, predicted))
        places = pairs_by_overlap(nameless, guesses, THRESHOLDS[0])
        pairs.update((true[t], guessed[p]) for t, p in places)
        missed.update(true[t] for t in set(range(len(true))) - {t for t, _ in places})
        spurious.update(guessed[p] for p in set(range(len(guessed))) - {p for _, p in places})
    return IdentityConfusion(pairs, missed, spurious)


def _identity(name: str) -> str:
    """One of `IDENTITIES`: `chromosome 7`, `chr07` and `7` are the same."""
    found = re.fullmatch(r"(?:chr(?:omosome)?)?[\s_.-]*0*(\w+)", name.strip(), re.IGNORECASE)
    short = found[1].upper() if found else ""
    return short if short in IDENTITIES else OTHER


def flips(first: Sequence[QuestionResult], second: Sequence[QuestionResult]) -> list[Flips]:
    """How often two systems answer right, alone and together.

    Args:
        first: The results of one system.
        second: Those of the other, of the same questions in the same order.

    Returns:
        The counts of each task that has questions.
    """
    found = []
    for task in _present(first):
        pairs = Counter(
            (one.correctness is Correctness.RIGHT, other.correctness is Correctness.RIGHT)
            for one, other in zip(first, second, strict=True)
            if one.row.task is task
        )
        found.append(Flips(task, pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]))
    return found


def routings(results: Sequence[QuestionResult]) -> Counter[tuple[TaskType, str]]:
    """Declared task and adapter that answered, with how often they met; empty without explanations."""
    return Counter((one.row.task, one.row.explanation.adapter) for one in results if one.row.explanation)


def stages(results: Sequence[QuestionResult]) -> dict[TaskType, Counter[str]]:
    """How often each stage of parsing gave the answers of each task."""
    return {task: Counter(one.stage for one in results if one.row.task is task) for task in _present(results)}


def empties(results: Sequence[QuestionResult]) -> dict[TaskType, tuple[int, int, int]]:
    """Questions of each task, how many were answered with nothing or zero, and for how many that is right."""
    found = {}
    for task in _present(results):
        mine = [one for one in results if one.row.task is task]
        true = sum(one.empty and one.correctness is Correctness.RIGHT for one in mine)
        found[task] = len(mine), sum(one.empty for one in mine), true
    return found


def calibrations(results: Sequence[QuestionResult]) -> list[Calibration]:
    """Reliability of the answers' probabilities and of the router's confidences, where they were recorded."""
    answers = [
        (one.probability, one.correctness is Correctness.RIGHT)
        for one in results
        if one.probability is not None and metrics_of(one.row.task).is_single_choice
    ]
    routes = [
        (one.row.explanation.router_confidence, one.row.explanation.routed_task is one.row.task)
        for one in results
        if one.row.explanation and one.row.explanation.router_confidence
    ]
    found = []
    for title, pairs in (("probability of the chosen option", answers), ("confidence of the router", routes)):
        if pairs:
            confidence, right = zip(*pairs, strict=True)
            bins = reliability(np.array(confidence, dtype=float), np.array(right, dtype=bool))
            found.append(Calibration(title, bins, len(pairs)))
    return found


def _present(results: Sequence[QuestionResult]) -> list[TaskType]:
    present = {one.row.task for one in results}
    return [task for task in TASKS if task in present]
