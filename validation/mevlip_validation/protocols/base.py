"""What an evaluator's protocol is: how it reads answers, and what its reading costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mevlip.tasks import TaskType
from mevlip_validation.box_matching import Instances, Numbers
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure
from mevlip_validation.statistics import Statistic

Rows = Sequence[Row]
KEPT = 1 << 15
"""Texts of boxes that are kept as read, so that the next threshold does not read them again: a split has a thousand."""


@dataclass(frozen=True)
class Reader:
    """How an evaluator reads an Answer; target and prediction are read alike.

    A reader returns None where its evaluator finds nothing that it can use; what that costs is a matter of scoring.

    Attributes:
        choice: What a classification answer is compared as.
        labels: The labels of a multi-label answer, as they are compared.
        boxes: The boxes of a detection answer; one that is not four numbers is empty and matches nothing.
        instances: Boxes by identity; the empty identity holds boxes that are matched whatever they are.
        count: A count.
        measurement: A measurement.
    """

    choice: Callable[[str], str]
    labels: Callable[[str], frozenset[str] | None]
    boxes: Callable[[str], list[Numbers] | None]
    instances: Callable[[str], Instances | None]
    count: Callable[[str], float | None]
    measurement: Callable[[str], float | None]


@dataclass(frozen=True)
class Formula:
    """How a protocol computes a measure.

    Attributes:
        how: The measure with its conditions, as it stands in a signature.
        statistic: Turns rows into contributions, one per row.
        pooled_with: Other tasks whose rows are scored together with the task's own.
    """

    how: str
    statistic: Callable[[Rows], Statistic]
    pooled_with: frozenset[TaskType] = frozenset()


Scorer = Callable[[Measure], Formula]


@dataclass(frozen=True)
class Scoring:
    """One measure of one task under one protocol.

    Attributes:
        protocol: The protocol's name.
        version: The protocol's version.
        how: The measure with its conditions.
        statistic: Turns rows into contributions, one per row.
        tasks: The tasks whose rows are pooled.
    """

    protocol: str
    version: int
    how: str
    statistic: Callable[[Rows], Statistic] = field(compare=False)
    tasks: frozenset[TaskType]

    @property
    def signature(self) -> str:
        """What was computed, in one word: scores of equal signatures can be compared."""
        return f"{self.protocol}/{self.how}|{self.version}"


@dataclass(frozen=True)
class Protocol:
    """One evaluator: the `PROTOCOL` of a file in `protocols/`.

    Attributes:
        name: Short name, which heads its column of the score table.
        evaluator: Whose evaluator it is.
        reader: How it reads answers; None where it reads them as the predictor reads its model's text.
        scorers: How it scores each task that it knows; empty for an evaluator of which only the reading is known.
        default_scorer: How it scores every other task, and measures that its evaluator does not know; None where it
            does not.
        judges: The model-based scorers of reports that belong to it.
        version: Raised whenever it gives another score for the same files.
        repeats: The protocol whose reading it repeats, so that tables show it on request only; empty for all others.
        note: What a reader of its scores should know; empty where the evaluator is public.
        exceptions: Kinds of answers that it cannot read as meant, however they are written, with the reason; the
            kinds are those of `protocols.misreadings`.
    """

    name: str
    evaluator: str
    reader: Reader | None = None
    scorers: Mapping[TaskType, Scorer] = field(default_factory=dict)
    default_scorer: Scorer | None = None
    judges: tuple[str, ...] = ()
    version: int = 1
    repeats: str = ""
    note: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> bool:
        """Whether it scores at all."""
        return bool(self.scorers or self.default_scorer or self.judges)

    def scoring(self, task: TaskType, measure: Measure) -> Scoring | None:
        """How it scores a measure of a task; None where it does not know it."""
        if measure.is_judgment:
            formula = Formula(measure.how, measure.statistic) if measure.name in self.judges else None
        else:
            scorer = self.default_scorer if measure.is_own else self.scorers.get(task, self.default_scorer)
            formula = scorer(measure) if scorer else None
        if formula is None:
            return None
        return Scoring(self.name, self.version, formula.how, formula.statistic, formula.pooled_with | {task})


def text_of(value: Any) -> str:
    """An Answer field as Python prints it; nothing for null, and for lists in lists without end."""
    try:
        return "" if value is None else str(value)
    except RecursionError:
        return ""


def as_box(item: Any) -> Numbers:
    """The numbers of a box; none where it is not a list of numbers, so that it matches nothing."""
    if not isinstance(item, list | tuple) or not all(isinstance(value, int | float) for value in item):
        return ()
    try:
        return tuple(float(value) for value in item)
    except OverflowError:  # a whole number beyond the range of floats
        return ()


def by_identity(content: dict[Any, Any]) -> Instances:
    """The boxes of an object of lists; what is not a list is left out."""
    return {
        str(key): [as_box(box) for box in boxes] for key, boxes in content.items() if isinstance(boxes, list | tuple)
    }
