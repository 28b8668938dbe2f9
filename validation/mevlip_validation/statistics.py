"""What each question contributes to a score, so that a score can be computed over any of them, or over some twice.

A statistic holds arrays with one entry per question. `scores` takes weights of shape (resamples, questions), how often
each question counts, and returns one score per resample; a row of ones gives the score itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Scores = NDArray[np.float64]
Aggregation = Literal["mean", "median", "rms"]


class Statistic(Protocol):
    """Contributions of a number of questions to one score."""

    def scores(self, weights: Weights) -> Scores:
        """The score of each resample, (resamples,); NaN where nothing counts."""


@dataclass(frozen=True)
class BalancedAccuracy:
    """Balanced accuracy: mean recall over the true classes, as scikit-learn's balanced_accuracy_score.

    Attributes:
        classes: The true class of each question; None leaves a question out.
        hits: Whether the prediction equals it.
    """

    classes: tuple[str | None, ...]
    hits: tuple[bool, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str | None, str]]) -> Self:
        """From target and prediction of each question, at least one; a target of None leaves the question out."""
        targets, predictions = zip(*pairs, strict=True)
        return cls(targets, tuple(one == other for one, other in zip(targets, predictions, strict=True)))

    def scores(self, weights: Weights) -> Scores:
        """See `Statistic`."""
        names = {name: place for place, name in enumerate(dict.fromkeys(c for c in self.classes if c is not None))}
        if not names:
            return np.full(len(weights), np.nan)
        member = np.zeros((len(self.classes), len(names)))
        for question, name in enumerate(self.classes):
            if name is not None:
                member[question, names[name]] = 1
        total = weights @ member
        found = (weights * np.array(self.hits, dtype=float)) @ member
        with np.errstate(invalid="ignore"):
            return _mean_of_known(np.where(total > 0, found / total, np.nan))


@dataclass(frozen=True)
class MicroF1:
    """Micro F1: found, predicted and true items are added up over the questions.

    Attributes:
        found: Predicted items that are true.
        predicted: Items predicted.
        true: True items.
        counted: Whether the question counts at all.
        of_nothing: The score of questions that count but have no items.
    """

    found: tuple[int, ...]
    predicted: tuple[int, ...]
    true: tuple[int, ...]
    counted: tuple[bool, ...]
    of_nothing: float = nan

    @classmethod
    def of(cls, counts: Iterable[tuple[int, int, int] | None], of_nothing: float = nan) -> Self:
        """From found, predicted and true items of each question, at least one; None leaves a question out."""
        known = list(counts)
        found, predicted, true = zip(*(count or (0, 0, 0) for count in known), strict=True)
        return cls(found, predicted, true, tuple(count is not None for count in known), of_nothing)

    def scores(self, weights: Weights) -> Scores:
        """See `Statistic`."""
        found, predicted, true, counted = (
            weights @ np.array(part, dtype=float) for part in (self.found, self.predicted, self.true, self.counted)
        )
        without = np.where(counted > 0, self.of_nothing, np.nan)
        with np.errstate(invalid="ignore"):
            return np.where(predicted + true > 0, 2 * found / (predicted + true), without)


@dataclass(frozen=True)
class Aggregate:
    """The mean, the median or the root mean square of a value per question; NaN leaves a question out.

    Attributes:
        values: The values; infinity makes the score infinite.
        aggregation: Which of the three.
    """

    values: tuple[float, ...]
    aggregation: Aggregation = "mean"

    def scores(self, weights: Weights) -> Scores:
        """See `Statistic`."""
        values = np.array(self.values, dtype=float)
        counted = ~np.isnan(values)
        weights, values = weights[:, counted], values[counted]
        if not len(values):
            return np.full(len(weights), np.nan)
        if self.aggregation == "median":
            order = np.argsort(values)
            reached = np.cumsum(weights[:, order], axis=1)
            half = reached[:, -1:] / 2
            low, high = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
            middle: Scores = (values[order][low] + values[order][high]) / 2
            return middle
        powers = values**2 if self.aggregation == "rms" else values
        endless = np.isinf(powers)
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Scores = (weights @ np.where(endless, 0, powers)) / total
        mean[(weights[:, endless] > 0).any(axis=1)] = np.inf
        return np.asarray(np.sqrt(mean)) if self.aggregation == "rms" else mean


@dataclass(frozen=True)
class MacroAverage:
    """The unweighted mean of the scores of groups of questions, such as data sets.

    Attributes:
        parts: The statistic of each group.
        members: The places of each group's questions.
    """

    parts: tuple[Statistic, ...]
    members: tuple[tuple[int, ...], ...]

    def scores(self, weights: Weights) -> Scores:
        """See `Statistic`."""
        each = [part.scores(weights[:, list(members)]) for part, members in zip(self.parts, self.members, strict=True)]
        return _mean_of_known(np.stack(each, axis=1))


def set_f1(target: frozenset[str], predicted: frozenset[str]) -> float:
    """F1 of two sets, 1 where both are empty."""
    return 2 * len(target & predicted) / (len(target) + len(predicted)) if target or predicted else 1.0


def _mean_of_known(values: NDArray[np.float64]) -> Scores:
    """The mean over the second axis without what is NaN; NaN where all is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Scores = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    return mean
