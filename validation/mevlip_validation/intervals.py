"""95 % confidence intervals of scores and of differences, from a bootstrap over images.

Which formula an interval has was chosen by the coverage that `python -m benchmarks.intervals` prints; docs/scoring.md
has the table. All make up for the small number of images, for which plain percentiles are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.statistics import ErrorStatistic, Scale, Scores, Statistic, Weights

LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
_NORMAL = NormalDist()
_SAME = 1e-12


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


def estimate(bootstrap: Bootstrap, statistic: Statistic, scale: Scale) -> Estimate:
    """A score with its interval.

    Mean and root mean square errors get a bootstrap-t interval, shares a t interval of their logit, all others an
    expanded percentile interval.

    Args:
        bootstrap: Draws the resamples.
        statistic: The score.
        scale: What values it can take.
    """
    value = score_of(statistic, len(bootstrap.member))
    if bootstrap.clusters < 2:
        return Estimate(value, np.nan, np.nan)
    scores = bootstrap.scores(statistic)
    known = scores[~np.isnan(scores)]
    if not math.isfinite(value) or not np.isfinite(known).all():
        return Estimate(value, *percentile_bounds(scores))
    if scale == "share" and 0 <= value <= 1:
        return Estimate(value, *logit_bounds(value, known, bootstrap.clusters))
    own = _standard_errors(statistic, scale, bootstrap, [np.ones((1, len(bootstrap.member)))])
    errors = _standard_errors(statistic, scale, bootstrap, bootstrap.weights())
    if own is not None and errors is not None and (found := studentized_bounds(value, float(own[0]), scores, errors)):
        return Estimate(value, *found)
    return Estimate(value, *percentile_bounds(scores, bootstrap.clusters))


def difference(value: float, differences: Scores, clusters: int) -> Estimate:
    """The difference of two systems with its t interval, from the same resamples of both.

    Args:
        value: The difference over all questions.
        differences: That of each resample.
        clusters: Number of images.
    """
    if clusters < 2 or not math.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    reach = t_quantile(1 - _TAIL, clusters - 1) * standard_error(differences, clusters)
    return Estimate(value, value - reach, value + reach)


def standard_error(scores: Scores, clusters: int) -> float:
    """The standard error that resampled scores show, as of an unbiased variance; NaN where none is known."""
    known = scores[np.isfinite(scores)]
    return float(known.std() * math.sqrt(clusters / (clusters - 1))) if len(known) and clusters > 1 else math.nan


def percentile_bounds(scores: Scores, clusters: int | None = None) -> tuple[float, float]:
    """The middle 95 % of resampled scores; infinite ones count as such, and NaN for nothing.

    Args:
        scores: The scores.
        clusters: Number of images; with it, the tails are cut as for a t interval (Hesterberg 2015, section 3.5).
    """
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.nan, np.nan
    tail = _TAIL
    if clusters:
        tail = _NORMAL.cdf(-math.sqrt(clusters / (clusters - 1)) * t_quantile(1 - _TAIL, clusters - 1))
    low, high = np.quantile(known, (tail, 1 - tail), method="nearest")
    return float(low), float(high)


def logit_bounds(value: float, scores: Scores, clusters: int) -> tuple[float, float]:
    """The t interval of the logit of a share, with the resamples' standard error by the delta method.

    Where all resamples are 0 or all are 1, the bound is Wilson's for as many trials as images.

    Args:
        value: The share, 0 to 1.
        scores: The resampled shares.
        clusters: Number of images.
    """
    reach = t_quantile(1 - _TAIL, clusters - 1)
    if value < _SAME or value > 1 - _SAME:
        room = _NORMAL.inv_cdf(1 - _TAIL) ** 2 / (clusters + _NORMAL.inv_cdf(1 - _TAIL) ** 2)
        return (0.0, room) if value < _SAME else (1 - room, 1.0)
    spread = reach * standard_error(scores, clusters) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return _logistic(middle - spread), _logistic(middle + spread)


def studentized_bounds(value: float, own: float, scores: Scores, errors: Scores) -> tuple[float, float] | None:
    """The bootstrap-t interval (Efron and Tibshirani 1993, section 12.5), not below zero.

    Args:
        value: The score.
        own: Its standard error.
        scores: The resampled scores.
        errors: The standard error of each.

    Returns:
        The bounds; None where too many resamples have no standard error, because nearly all rows are alike.
    """
    if own <= _SAME * max(1.0, abs(value)):
        return value, value
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(errors > _SAME * np.abs(scores), (scores - value) / errors, np.nan)
    known = ratios[~np.isnan(ratios)]
    if len(known) < (1 - _TAIL) * len(scores):
        return None
    low, high = np.quantile(known, (_TAIL, 1 - _TAIL), method="nearest")
    return max(0.0, value - float(high) * own), value - float(low) * own


def t_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t distribution, to three digits.

    Args:
        share: 0.5 to 1.
        freedom: Degrees of freedom; exact for 1 and 2, else by the expansion of Fisher and Cornish (1960).
    """
    if freedom == 1:
        return math.tan(math.pi * (share - 0.5))
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = _NORMAL.inv_cdf(share)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def _standard_errors(
    statistic: Statistic, scale: Scale, bootstrap: Bootstrap, draws: Iterable[Weights]
) -> Scores | None:
    """The standard error of a mean error under each weighting; None for other scores."""
    if scale != "error" or not isinstance(statistic, ErrorStatistic):
        return None
    found = [statistic.standard_errors(weights, bootstrap.member) for weights in draws]
    known = [errors for errors in found if errors is not None]
    return np.concatenate(known) if len(known) == len(found) else None


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
