from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.intervals import (
    difference,
    estimate,
    logit_bounds,
    percentile_bounds,
    standard_error,
    studentized_bounds,
    t_quantile,
)
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MacroAverage, Scale


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 10, 100, 10_000])
@pytest.mark.parametrize("share", [0.9, 0.975])
def test_quantiles_are_those_of_student(freedom: int, share: float) -> None:
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=0.002)


@pytest.mark.parametrize("scale", ["share", "error", "free"])
def test_questions_that_agree_within_an_image_widen_the_interval(scale: Scale) -> None:
    values = Aggregate(tuple(float(index // 5 % 2) for index in range(100)))
    apart, together = (estimate(Bootstrap(c, 500), values, scale) for c in (range(100), [i // 5 for i in range(100)]))
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize("scale", ["share", "error", "free"])
def test_one_image_has_no_interval(scale: Scale) -> None:
    found = estimate(Bootstrap(["a", "a"]), Aggregate((0.25, 0.75)), scale)
    assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)


def test_infinite_scores_stay_infinite_and_unknown_ones_are_left_out() -> None:
    assert percentile_bounds(np.array([1.0, np.nan, np.inf])) == (1.0, math.inf)
    assert all(map(math.isnan, percentile_bounds(np.array([np.nan]))))
    found = estimate(Bootstrap(range(9)), Aggregate((math.inf, *[1.0] * 8)), "error")
    assert (found.value, found.low, found.high) == (math.inf, 1.0, math.inf)


def test_nothing_to_score_has_no_interval() -> None:
    found = estimate(Bootstrap(range(3), 20), Aggregate((math.nan,) * 3), "error")
    assert all(map(math.isnan, (found.value, found.low, found.high)))


def test_an_interval_of_a_share_stays_within_0_and_1() -> None:
    found = estimate(Bootstrap(range(12)), Aggregate((*[1.0] * 11, 0.0)), "share")
    assert 0 < found.low < 0.7 and 11 / 12 < found.high < 1


def test_a_perfect_score_of_few_images_is_not_certain() -> None:
    found = estimate(Bootstrap(range(9)), BalancedAccuracy.of([("a", "a")] * 9), "share")
    low = stats.binomtest(9, 9).proportion_ci(method="wilson").low
    assert (found.low, found.high) == (pytest.approx(low), 1.0)
    assert logit_bounds(0.0, np.zeros(5), 9) == (0.0, pytest.approx(1 - low))


def test_an_interval_of_a_skewed_error_reaches_farther_up_than_down() -> None:
    values = tuple(np.random.default_rng(1).lognormal(0, 1, 50))
    found = estimate(Bootstrap(range(50)), Aggregate(values), "error")
    assert found.high - found.value > 1.3 * (found.value - found.low) > 0


def test_equal_errors_have_an_interval_without_width() -> None:
    found = estimate(Bootstrap(range(9)), Aggregate((4.0,) * 9), "error")
    assert (found.low, found.high) == (4.0, 4.0)


def test_resamples_without_an_error_leave_bootstrap_t() -> None:
    """Where one row of many errs, a third of the resamples contains no error at all."""
    assert studentized_bounds(1.0, 1.0, np.zeros(40), np.zeros(40)) is None
    found = estimate(Bootstrap(range(60)), Aggregate((60.0, *[0.0] * 59)), "error")
    assert found.low == 0 and 1 < found.high < 10


def test_the_standard_error_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, 80)
    ones, clusters = np.ones((1, 80)), np.arange(80)
    [mean] = Aggregate(tuple(values)).standard_errors(ones, clusters)  # type: ignore[misc]
    assert mean == pytest.approx(values.std() / math.sqrt(80))
    [root] = Aggregate(tuple(values), "rms").standard_errors(ones, clusters)  # type: ignore[misc]
    assert root == pytest.approx((values**2).std() / math.sqrt(80) / (2 * math.sqrt((values**2).mean())))
    assert Aggregate(tuple(values), "median").standard_errors(ones, clusters) is None


@pytest.mark.parametrize("aggregation", ["mean", "rms"])
def test_the_standard_error_of_clusters_and_data_sets_is_that_of_their_resamples(aggregation: str) -> None:
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(120), 3)
    values = np.exp(rng.normal(size=120)[clusters] + rng.normal(size=360))
    part = [Aggregate(tuple(values[place]), aggregation) for place in (slice(0, 240), slice(240, 360))]  # type: ignore[arg-type]
    statistic = MacroAverage(tuple(part), (tuple(range(240)), tuple(range(240, 360))))
    bootstrap = Bootstrap(clusters.tolist(), 2000)
    [error] = statistic.standard_errors(np.ones((1, 360)), bootstrap.member)  # type: ignore[misc]
    assert error == pytest.approx(bootstrap.scores(statistic).std(), rel=0.1)
    with_median = MacroAverage((part[0], Aggregate(tuple(values[240:]), "median")), statistic.members)
    assert with_median.standard_errors(np.ones((1, 360)), bootstrap.member) is None


def test_a_difference_has_a_t_interval() -> None:
    values = np.random.default_rng(2).normal(1, 2, 25)
    found = difference(values.mean(), Bootstrap(range(25), 4000).scores(Aggregate(tuple(values))), 25)
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.08), pytest.approx(high, abs=0.08))
    assert math.isnan(difference(1.0, np.full(5, np.nan), 1).low)
    assert math.isnan(difference(math.inf, np.full(5, np.inf), 9).low)
    assert math.isnan(standard_error(np.full(5, np.nan), 9))
