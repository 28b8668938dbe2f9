"""FLARE 2025, by the rules of its PaliGemma evaluator, whose author wrote the challenge's container contract too.

Rows of one task are pooled over all data sets. A question without a prediction costs nothing, neither does an answer
whose boxes cannot be read; of several answers to one question the last counts; one unreadable number makes the mean
error infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

from mevlip_validation.scoring.conventions import CONVENTIONS
from mevlip_validation.scoring.overlap import by_overlap, by_truth, labeled
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules.base import Rows, add_up, recalls
from mevlip_validation.scoring.tallies import Overlaps, Recalls, Statistic, Values

_READ = CONVENTIONS["paligemma"]
_FREE = (0, 0, 0)


def said(row: Row) -> str | None:
    """The answer that counts."""
    return row.later[-1] if row.later else row.said


def choices(rows: Rows) -> Recalls:
    """Exact text, letter case aside."""
    answers = [(row, said(row)) for row in rows]
    return recalls(
        (None, "") if answer is None else (_READ.choice(row.truth), _READ.choice(answer)) for row, answer in answers
    )


def labels(rows: Rows) -> Overlaps:
    """Labels cut at semicolons and commas alike."""

    def count(row: Row) -> tuple[int, int, int]:
        answer = said(row)
        if answer is None:
            return _FREE
        truth, predicted = _READ.labels(row.truth), _READ.labels(answer)
        return len(truth & predicted), len(predicted), len(truth)

    return add_up(map(count, rows))


def boxes(threshold: float) -> Callable[[Rows], Overlaps]:
    """Each true box in turn takes the free prediction that overlaps it most, if by more than the threshold."""

    def count(row: Row) -> tuple[int, int, int]:
        truth, predicted = _READ.boxes(row.truth), _READ.boxes(said(row) or "")
        if truth is None or predicted is None:
            return _FREE
        return by_truth(truth, predicted, threshold), len(predicted), len(truth)

    return lambda rows: add_up(map(count, rows))


def instances(threshold: float) -> Callable[[Rows], Overlaps]:
    """Boxes of one identity among themselves, the greatest overlap first, from the threshold on."""

    def count(row: Row) -> tuple[int, int, int]:
        truth, predicted = _READ.instances(row.truth), _READ.instances(said(row) or "")
        if truth is None or predicted is None:
            return _FREE
        one, other = labeled(truth), labeled(predicted)
        return by_overlap(one, other, threshold), len(other), len(one)

    return lambda rows: add_up(map(count, rows))


def errors(statistic: Statistic) -> Callable[[Rows], Values]:
    """Absolute errors of bare numbers."""

    def error(row: Row) -> float:
        answer = said(row)
        if answer is None:
            return nan
        truth, predicted = _READ.count(row.truth), _READ.count(answer)
        return inf if truth is None or predicted is None else abs(truth - predicted)

    return lambda rows: Values(tuple(map(error, rows)), statistic)
