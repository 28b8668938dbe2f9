"""The mean over data sets, each counting once, of answers read for what they mean.

It asks how good a model is, not how well its spelling suits an evaluator: answers are parsed as the predictor parses
its model's text. A missing or unreadable answer is wrong; an unreadable number counts as zero.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any

from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip_validation.scoring.conventions import CONVENTIONS
from mevlip_validation.scoring.overlap import Labeled, by_overlap, labeled
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules.base import Rows, add_up, recalls
from mevlip_validation.scoring.rules.flare26 import set_f1
from mevlip_validation.scoring.tallies import MeanOf, Overlaps, Recalls, Statistic, Tally, Values

_READ = CONVENTIONS["flare26"]


def per_dataset(tally: Callable[[Rows], Tally]) -> Callable[[Rows], MeanOf]:
    """The unweighted mean over data sets of what a tally says of each."""

    def mean(rows: Rows) -> MeanOf:
        members: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            members.setdefault(row.dataset, []).append(index)
        parts = tuple(tally([rows[index] for index in indices]) for indices in members.values())
        return MeanOf(parts, tuple(map(tuple, members.values())))

    return mean


def choices(rows: Rows) -> Recalls:
    """The option meant; a truth that is no option is compared as it stands."""
    return recalls(
        (
            _folded(row.meant_truth.format() if row.meant_truth else row.truth),
            _folded(row.meant.format() if row.meant else ""),
        )
        for row in rows
    )


def labels(rows: Rows) -> Values:
    """The mean of each row's own F1 of labels; a truth outside its own list is read as flare26 does."""

    def f1(row: Row) -> float:
        truth = _labels(row.meant_truth) if row.meant_truth else _READ.labels(row.truth)
        return set_f1(truth, _labels(row.meant))

    return Values(tuple(map(f1, rows)))


def boxes(threshold: float) -> Callable[[Rows], Overlaps]:
    """Boxes, of instances by identity, the greatest overlap first, from the threshold on."""

    def count(row: Row) -> tuple[int, int, int]:
        truth, predicted = boxes_of(row.meant_truth), boxes_of(row.meant)
        return by_overlap(truth, predicted, threshold), len(predicted), len(truth)

    return lambda rows: add_up(map(count, rows))


def errors(statistic: Statistic) -> Callable[[Rows], Values]:
    """Absolute errors."""
    return lambda rows: Values(tuple(map(error_of, rows)), statistic)


def error_of(row: Row) -> float:
    """How far the number said is from the true one; NaN where the truth is no number."""
    if row.meant_truth is None:
        return nan
    return abs(number_of(row.meant_truth) - number_of(row.meant))


def boxes_of(answer: Any) -> list[Labeled]:
    """The boxes of a typed answer with their identities, empty ones for plain boxes."""
    match answer:
        case Boxes(boxes=found):
            return [("", tuple(map(float, box))) for box in found]
        case InstanceBoxes(instances=found):
            return labeled({name: [tuple(map(float, box)) for box in some] for name, some in found})
    return []


def number_of(answer: Any) -> float:
    """The number of a typed answer; 0 where it is none."""
    return float(answer.value) if isinstance(answer, Count | Measurement) else 0.0


def _labels(answer: Any) -> frozenset[str]:
    match answer:
        case LabelSet(labels=found):
            return frozenset(map(_folded, found))
        case Choice(value=value):
            return frozenset({_folded(value)})
    return frozenset()


def _folded(text: str) -> str:
    return " ".join(text.split()).lower()
