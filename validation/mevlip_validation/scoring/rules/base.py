"""What a rule of scoring is, and what the three conventions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mevlip.tasks import Direction, TaskType
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.tallies import Overlaps, Recalls, Tally

Rows = Sequence[Row]
VERSION = 1
"""Raised whenever a rule gives another score for the same files."""


@dataclass(frozen=True)
class Rule:
    """How a measure is taken under one convention.

    Attributes:
        convention: `flare25`, `flare26` or `macro`.
        how: The measure with its conditions.
        tally: Turns rows into contributions, one per row.
        tasks: The tasks whose rows are pooled.
    """

    convention: str
    how: str
    tally: Callable[[Rows], Tally]
    tasks: frozenset[TaskType]

    @property
    def signature(self) -> str:
        """What was computed, in one word: scores of equal signatures can be compared."""
        return f"{self.convention}/{self.how}|{VERSION}"


@dataclass(frozen=True)
class Measure:
    """One measure of a task under the conventions that know it.

    Attributes:
        name: Its name for people.
        direction: Whether more or less is better.
        rules: At most one for each convention.
    """

    name: str
    direction: Direction
    rules: tuple[Rule, ...]

    def under(self, convention: str) -> Rule | None:
        """How it is taken under a convention; None where that does not know it."""
        return next((rule for rule in self.rules if rule.convention == convention), None)

    def gain(self, score: float, other: float) -> float:
        """By how much a score is better than another; negative where it is worse."""
        return score - other if self.direction == "higher" else other - score


def add_up(counts: Iterable[tuple[int, int, int]]) -> Overlaps:
    """Micro F1 from found, predicted and true items of each row."""
    found, predicted, true = zip(*counts, strict=True)
    return Overlaps(found, predicted, true)


def recalls(pairs: Iterable[tuple[str | None, str]]) -> Recalls:
    """Balanced accuracy from truth and prediction of each row; a truth of None leaves the row out."""
    truths, said = zip(*pairs, strict=True)
    return Recalls(truths, tuple(one == other for one, other in zip(truths, said, strict=True)))
