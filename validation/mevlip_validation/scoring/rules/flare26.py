"""FLARE 2026, by the rules of its MedGemma baseline.

Rows of one task are pooled over all data sets, detection and instance detection together. A missing prediction is an
empty answer; of several answers to one question the first counts; what is no number is zero.
"""

from __future__ import annotations

from collections.abc import Callable

from mevlip_validation.scoring.conventions import CONVENTIONS
from mevlip_validation.scoring.overlap import by_overlap, labeled
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules.base import Rows, add_up, recalls
from mevlip_validation.scoring.tallies import Overlaps, Recalls, Statistic, Values

_READ = CONVENTIONS["flare26"]


def choices(rows: Rows) -> Recalls:
    """Exact text, letter case and runs of blanks aside."""
    return recalls((_READ.choice(row.truth), _READ.choice(row.said or "")) for row in rows)


def labels(rows: Rows) -> Values:
    """The mean of each row's own F1; two empty sets agree."""

    def f1(row: Row) -> float:
        return set_f1(_READ.labels(row.truth), _READ.labels(row.said or ""))

    return Values(tuple(map(f1, rows)))


def set_f1(truth: frozenset[str], said: frozenset[str]) -> float:
    """F1 of two sets, 1 where both are empty."""
    return 2 * len(truth & said) / (len(truth) + len(said)) if truth or said else 1.0


def boxes(threshold: float) -> Callable[[Rows], Overlaps]:
    """The greatest overlap first, from the threshold on; identities are compared where both boxes have one."""

    def count(row: Row) -> tuple[int, int, int]:
        truth, predicted = (labeled(_READ.instances(text) or {}) for text in (row.truth, row.said or ""))
        return by_overlap(truth, predicted, threshold), len(predicted), len(truth)

    return lambda rows: add_up(map(count, rows))


def errors(statistic: Statistic) -> Callable[[Rows], Values]:
    """Absolute errors of the first numbers."""

    def error(row: Row) -> float:
        return abs((_READ.count(row.truth) or 0.0) - (_READ.count(row.said or "") or 0.0))

    return lambda rows: Values(tuple(map(error, rows)), statistic)
