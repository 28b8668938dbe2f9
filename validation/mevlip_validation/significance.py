"""Whether a difference of two systems is more than chance, and how many questions it would take to see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.defaults import SEED
from mevlip_validation.statistics import Clusters, Statistic, Weights

ALPHA = 0.05
POWER = 0.8
_ENOUGH = 50  # swapped differences as large as the observed one, after which more draws do not change the verdict
_NEAR = 1e-9
_STEPS = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Power:
    """What a number of questions can show.

    Attributes:
        questions: The present number.
        smallest: The smallest difference that they show with a chance of `POWER`.
        needed: How many questions the observed difference takes; infinity where it is zero.

    Both are NaN where the difference is the same in every resample, which says nothing of others.
    """

    questions: int
    smallest: float
    needed: float


def swap_p_value(pooled: Statistic, member: Clusters, observed: float, draws: int, seed: int = SEED) -> float:
    """The two-sided p-value of a difference, by swapping the two systems' answers at random, image by image.

    If the two are equal, it does not matter which of them gave which answers to an image. The p-value is the share of
    draws whose difference is as large as the observed one, the observed one counted as a draw, so that it is never 0
    (North et al. 2002). Drawing stops early once the p-value is certainly large (Besag and Clifford 1991).

    Args:
        pooled: The score of the first system's rows followed by the second's.
        member: The number of the cluster of each question, (questions,).
        observed: The difference of the two scores.
        draws: Most draws.
        seed: Random seed.
    """
    if abs(observed) <= _NEAR:
        return 1.0
    rng = np.random.default_rng(seed)
    clusters, reached, drawn = int(member.max()) + 1, 0, 0
    while drawn < draws:
        count = min(max(2 * _ENOUGH, drawn), draws - drawn, next(Bootstrap.chunks(draws, 2 * len(member))))
        swapped = rng.integers(0, 2, (count, clusters)).astype(np.float64)[:, member]
        differences = np.abs(_scores(pooled, swapped, 1 - swapped) - _scores(pooled, 1 - swapped, swapped))
        as_large = np.cumsum(~(differences < abs(observed) * (1 - _NEAR)))  # an unknown difference counts as large
        if reached + as_large[-1] >= _ENOUGH:
            last = int(np.argmax(reached + as_large >= _ENOUGH))
            return _ENOUGH / (drawn + last + 1)
        reached, drawn = reached + int(as_large[-1]), drawn + count
    return (reached + 1) / (drawn + 1)


def draws_for(comparisons: int, resamples: int) -> int:
    """How many swaps it takes that a corrected p-value can fall to half of `ALPHA`, at least the resamples asked for.

    Args:
        comparisons: Number of comparisons that are corrected together.
        resamples: Number of resamples asked for.
    """
    return max(resamples, math.ceil(comparisons * 2 / ALPHA))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values (1979), in the order given; NaN stays NaN and counts for nothing."""
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, least = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        corrected[place] = least
    return corrected


def power_of(difference: float, standard_error: float, questions: int) -> Power:
    """The difference that a two-sided test at `ALPHA` finds with a chance of `POWER`, and the questions it takes.

    The smallest such difference is (z_0.975 + z_0.8) = 2.8 standard errors (Bloom 1995). The standard error falls with
    the root of the number of questions, at as many questions per image as now.

    Args:
        difference: The observed difference.
        standard_error: Its standard error.
        questions: The present number of questions.
    """
    if standard_error <= _NEAR * abs(difference):
        return Power(questions, math.nan, math.nan)
    smallest = _STEPS * standard_error
    needed = questions * (smallest / difference) ** 2 if abs(difference) > _NEAR else math.inf
    return Power(questions, smallest, float(math.ceil(needed)) if math.isfinite(needed) else needed)


def _scores(pooled: Statistic, first: Weights, second: Weights) -> Weights:
    return pooled.scores(np.hstack([first, second]))
