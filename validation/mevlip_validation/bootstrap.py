"""Confidence intervals of scores: bootstrap over images, because questions about one image are not independent."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.statistics import Scores, Statistic, Weights

LEVEL = 0.95
_AT_ONCE = 4_000_000  # weights held at a time, 32 MB


@dataclass(frozen=True)
class Estimate:
    """A score and its interval.

    Attributes:
        value: The score of all questions; NaN where there is nothing to score.
        low: Lower end of the interval.
        high: Its upper end.
    """

    value: float
    low: float
    high: float


class Bootstrap:
    """Draws whole clusters of questions with replacement (Field and Welsh 2007); the same seed draws the same.

    Args:
        clusters: The cluster of each question.
        resamples: Number of bootstrap resamples.
        seed: Random seed.
    """

    def __init__(self, clusters: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = SEED) -> None:
        numbers = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
        self._member = np.array([numbers[one] for one in clusters], dtype=int)
        self._clusters, self._resamples, self._seed = len(numbers), resamples, seed

    def weights(self) -> Iterator[Weights]:
        """Yields how often each question counts, (some resamples, questions), until all resamples are drawn."""
        rng = np.random.default_rng(self._seed)
        step = max(1, _AT_ONCE // max(len(self._member), 1))
        for start in range(0, self._resamples, step):
            count = min(step, self._resamples - start)
            drawn = rng.integers(0, self._clusters, (count, self._clusters))
            places = (drawn + self._clusters * np.arange(count)[:, None]).ravel()
            times = np.bincount(places, minlength=count * self._clusters).reshape(count, self._clusters)
            yield times[:, self._member].astype(np.float64)

    def scores(self, statistic: Statistic) -> Scores:
        """The score of each resample, (resamples,); NaN where there is one cluster, which says nothing of others."""
        if self._clusters < 2:
            return np.full(self._resamples, np.nan)
        return np.concatenate([statistic.scores(weights) for weights in self.weights()])

    def estimate(self, statistic: Statistic) -> Estimate:
        """A score with its percentile interval."""
        return Estimate(score_of(statistic, len(self._member)), *bounds(self.scores(statistic)))


def score_of(statistic: Statistic, questions: int) -> float:
    """The score of all questions, each counted once."""
    return float(statistic.scores(np.ones((1, questions)))[0])


def bounds(scores: Scores) -> tuple[float, float]:
    """The middle 95 % of resampled scores; infinite ones count as such, and NaN for nothing."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), method="nearest")
    return float(low), float(high)
