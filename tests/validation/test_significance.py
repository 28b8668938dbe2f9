from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mevlip_validation.significance import draws_for, holm, power_of, swap_p_value
from mevlip_validation.statistics import Aggregate


def test_p_values_are_corrected_as_holm_does_by_hand() -> None:
    """0.01 * 4, 0.02 * 3, then 0.02 * 2 raised to what stands before it, 0.5 alone."""
    assert holm([0.02, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.03, math.nan, 0.04]) == [0.06, pytest.approx(math.nan, nan_ok=True), 0.06]
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def swapped_exactly(first: np.ndarray, second: np.ndarray) -> float:
    """The p-value over all ways to swap."""
    apart, observed = second - first, abs((second - first).mean())
    means = [abs((apart * signs).mean()) for signs in product((1, -1), repeat=len(apart))]
    return float(np.mean([mean >= observed - 1e-12 for mean in means]))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_p_value_is_that_of_all_swaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.lognormal(0, 1, 9), rng.lognormal(0.7, 1, 9)
    pooled = Aggregate((*first, *second))
    observed = float(second.mean() - first.mean())
    found = swap_p_value(pooled, np.arange(9), observed, 5000)
    assert found == pytest.approx(swapped_exactly(first, second), rel=0.35, abs=0.01)


def test_the_same_seed_gives_the_same_p_value() -> None:
    pooled = Aggregate((*[0.0, 1.0, 2.0] * 5, *[1.0, 0.0, 4.0] * 5))
    one, same, other = (swap_p_value(pooled, np.arange(15), 2 / 3, 300, seed) for seed in (1, 1, 2))
    assert one == same != other


def test_no_p_value_is_zero_and_equal_systems_have_one() -> None:
    pooled = Aggregate((*[0.0] * 40, *[1.0] * 40))
    assert swap_p_value(pooled, np.arange(40), 1.0, 99) == 0.01
    assert swap_p_value(pooled, np.arange(40), 0.0, 99) == 1.0


def test_images_are_swapped_whole() -> None:
    """Two images cannot show a difference, however many questions there are about them."""
    pooled = Aggregate((*[0.0] * 40, *[1.0] * 40))
    assert swap_p_value(pooled, np.repeat([0, 1], 20), 1.0, 999) > 0.3


def test_large_p_values_take_few_draws() -> None:
    class Counted(Aggregate):
        rows = 0

        def scores(self, weights: np.ndarray) -> np.ndarray:
            Counted.rows += len(weights)
            return super().scores(weights)

    assert swap_p_value(Counted((*[0.0, 1.0] * 20, *[1.0, 0.0, *[0.0, 1.0] * 19])), np.arange(40), 0.01, 50_000) > 0.05
    assert Counted.rows < 1000


def test_an_unknown_swapped_score_counts_as_large() -> None:
    assert swap_p_value(Aggregate((math.nan, 1.0)), np.array([0]), 1.0, 99) > 0.5


def test_a_table_of_many_comparisons_gets_more_draws() -> None:
    assert draws_for(7, 1000) == 1000
    draws = draws_for(70, 1000)
    assert draws == 2800 and 70 / (draws + 1) < 0.05


def test_power_is_what_simulated_tests_have() -> None:
    """A difference of the smallest size that can be found is found in about 80 of 100 samples."""
    rng = np.random.default_rng(5)
    error = 1 / math.sqrt(60)
    smallest = power_of(0.1, error, 60).smallest
    samples = rng.normal(smallest, 1, (2000, 60))
    assert np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.04)


def test_the_questions_needed_make_the_present_difference_the_smallest() -> None:
    power = power_of(0.05, 0.04, 100)
    assert power.needed == math.ceil(100 * (2.8016 * 0.04 / 0.05) ** 2)
    assert power_of(0.05, 0.04 * math.sqrt(100 / power.needed), 100).smallest == pytest.approx(0.05, rel=0.01)
    assert power_of(0.0, 0.04, 100).needed == math.inf
    alike = power_of(0.5, 0.0, 100)
    assert math.isnan(alike.smallest) and math.isnan(alike.needed)
