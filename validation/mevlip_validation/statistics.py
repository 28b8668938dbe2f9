"""What each question contributes to a score, so that a score can be computed over any of them, or over some twice.

A statistic holds arrays with one entry per question. `scores` takes weights of shape (resamples, questions), how often
each question counts, and returns one score per resample; a row of ones gives the score itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Scores = NDArray[np.float64]
Clusters = NDArray[np.int64]
Aggregation = Literal["mean", "median", "rms"]
Scale = Literal["share", "error", "free"]
"""What values a score can take: 0 to 1; 0 and more; any."""


class Statistic(Protocol):
    """Contributions of a number of questions to one score."""

    def scores(self, weights: Weights) -> Scores:
        """The score of each resample, (resamples,); NaN where nothing counts."""


@runtime_checkable
class ErrorStatistic(Statistic, Protocol):
    """A mean of errors: known are also its standard error and what each question adds to it."""

    def standard_errors(self, weights: Weights, clusters: Clusters) -> Scores | None:
        """The standard error of each resample's score, (resamples,); None where there is no formula for it.

        Args:
            weights: How often each question counts, alike for questions of one cluster.
            clusters: The number of each question's cluster, (questions,), from 0.
        """

    def burdens(self) -> Scores:
        """Each question's share in the score, (questions,), adding up to 1; zeros where nothing has a share."""


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
        if not counted.all():
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

    def standard_errors(self, weights: Weights, clusters: Clusters) -> Scores | None:
        """See `ErrorStatistic`: the linearized ratio of sums over clusters; for a root, by the delta method."""
        if self.aggregation == "median":
            return None
        counted = ~np.isnan(np.array(self.values, dtype=float))
        powers = np.where(counted, np.array(self.values) ** (2 if self.aggregation == "rms" else 1), 0)
        sums, sizes = np.bincount(clusters, powers), np.bincount(clusters, counted)
        times = weights[:, np.unique(clusters, return_index=True)[1]]
        with np.errstate(invalid="ignore", divide="ignore"):
            total = times @ sizes
            mean = (times @ sums) / total
            squares = times @ sums**2 - 2 * mean * (times @ (sums * sizes)) + mean**2 * (times @ sizes**2)
            error: Scores = np.sqrt(np.maximum(squares, 0)) / total
            return np.asarray(error / (2 * np.sqrt(mean))) if self.aggregation == "rms" else error

    def burdens(self) -> Scores:
        """See `ErrorStatistic`; infinite values share the whole burden, and a median is no row's."""
        values = np.nan_to_num(np.array(self.values, dtype=float), nan=0.0, posinf=np.inf)
        if self.aggregation == "median":
            return np.zeros(len(values))
        endless = np.isinf(values)
        parts = endless.astype(float) if endless.any() else values ** (2 if self.aggregation == "rms" else 1)
        return np.asarray(parts / (parts.sum() or 1))


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

    def standard_errors(self, weights: Weights, clusters: Clusters) -> Scores | None:
        """See `ErrorStatistic`: groups share no cluster, so their squared errors add up; None if a part has none."""
        squares, known = np.zeros(len(weights)), np.zeros(len(weights))
        for part, members in zip(self.parts, self.members, strict=True):
            places = list(members)
            own = np.unique(clusters[places], return_inverse=True)[1]
            error = part.standard_errors(weights[:, places], own) if isinstance(part, ErrorStatistic) else None
            if error is None:
                return None
            there = ~np.isnan(error)
            squares[there] += error[there] ** 2
            known += there
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(squares) / known)

    def burdens(self) -> Scores:
        """See `ErrorStatistic`; each group's burdens count as much as its score."""
        found = np.zeros(sum(map(len, self.members)))
        for part, members in zip(self.parts, self.members, strict=True):
            if isinstance(part, ErrorStatistic):
                score = part.scores(np.ones((1, len(members))))[0]
                with np.errstate(invalid="ignore"):  # nothing of an infinite score
                    found[list(members)] = part.burdens() * np.nan_to_num(score, nan=0.0, posinf=np.inf)
        endless = np.isinf(found)
        parts = endless.astype(float) if endless.any() else np.nan_to_num(found)
        return np.asarray(parts / (parts.sum() or 1))


def set_f1(target: frozenset[str], predicted: frozenset[str]) -> float:
    """F1 of two sets, 1 where both are empty."""
    return 2 * len(target & predicted) / (len(target) + len(predicted)) if target or predicted else 1.0


def _mean_of_known(values: NDArray[np.float64]) -> Scores:
    """The mean over the second axis without what is NaN; NaN where all is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Scores = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    return mean
