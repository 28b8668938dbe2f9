"""Resampling of images with replacement, because questions about one image are not independent."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.statistics import Clusters, Scores, Statistic, Weights

_AT_ONCE = 4_000_000  # weights held at a time, 32 MB


class Bootstrap:
    """Draws whole clusters of questions with replacement (Field and Welsh 2007); the same seed draws the same.

    Args:
        clusters: The cluster of each question.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Attributes:
        member: The number of each question's cluster, (questions,), from 0.
        clusters: Number of clusters.
    """

    def __init__(self, clusters: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = SEED) -> None:
        numbers = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
        self.member: Clusters = np.array([numbers[one] for one in clusters], dtype=np.int64)
        self.clusters = len(numbers)
        self._resamples, self._seed = resamples, seed
        self._kept: list[Weights] = []

    def weights(self) -> Iterator[Weights]:
        """Yields how often each question counts, (some resamples, questions), until all resamples are drawn.

        What is held at a time anyway is kept for the next statistic.
        """
        if self._kept:
            yield from self._kept
            return
        for weights in self._draw():
            if len(weights) == self._resamples:
                self._kept = [weights]
            yield weights

    def _draw(self) -> Iterator[Weights]:
        rng = np.random.default_rng(self._seed)
        for count in self.chunks(self._resamples, len(self.member)):
            drawn = rng.integers(0, self.clusters, (count, self.clusters))
            places = (drawn + self.clusters * np.arange(count)[:, None]).ravel()
            times = np.bincount(places, minlength=count * self.clusters).reshape(count, self.clusters)
            yield times.astype(np.float64)[:, self.member]

    def scores(self, statistic: Statistic) -> Scores:
        """The score of each resample, (resamples,); NaN where there is one cluster, which says nothing of others."""
        if self.clusters < 2:
            return np.full(self._resamples, np.nan)
        return np.concatenate([statistic.scores(weights) for weights in self.weights()])

    @staticmethod
    def chunks(draws: int, questions: int) -> Iterator[int]:
        """Yields how many draws to hold at a time, so that their weights stay small."""
        step = max(1, _AT_ONCE // max(questions, 1))
        for start in range(0, draws, step):
            yield min(step, draws - start)


def score_of(statistic: Statistic, questions: int) -> float:
    """The score of all questions, each counted once."""
    return float(statistic.scores(np.ones((1, questions)))[0])
