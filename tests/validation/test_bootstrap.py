from __future__ import annotations

import math

import numpy as np
import pytest

from mevlip_validation.bootstrap import Bootstrap, bounds
from mevlip_validation.statistics import Aggregate


def test_questions_about_one_image_are_drawn_together() -> None:
    for weights in Bootstrap(["a", "a", "b", "c"], 50).weights():
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 1:].sum(axis=1) == 3).all(), "as many images as there are"


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    statistic = Aggregate(tuple(map(float, range(30))))
    one, same, other = (Bootstrap(range(30), 200, seed).scores(statistic) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(Bootstrap(range(7), 20).weights()))
    monkeypatch.setattr("mevlip_validation.bootstrap._AT_ONCE", 21)
    parts = list(Bootstrap(range(7), 20).weights())
    assert len(parts) > 1 and (np.concatenate(parts) == whole).all()


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        estimate = Bootstrap(range(60), 300, seed).estimate(Aggregate(tuple(rng.normal(5, 2, 60))))
        held += estimate.low <= 5 <= estimate.high
    assert 0.89 <= held / 200 <= 0.99


def test_questions_that_agree_within_an_image_widen_the_interval() -> None:
    values = Aggregate(tuple(float(index // 5 % 2) for index in range(100)))
    apart, together = (Bootstrap(c, 500).estimate(values) for c in (range(100), [i // 5 for i in range(100)]))
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_one_image_has_no_interval() -> None:
    estimate = Bootstrap(["a", "a"]).estimate(Aggregate((1.0, 3.0)))
    assert estimate.value == 2 and math.isnan(estimate.low) and math.isnan(estimate.high)


def test_infinite_scores_stay_infinite_and_unknown_ones_are_left_out() -> None:
    assert bounds(np.array([1.0, np.nan, np.inf])) == (1.0, math.inf)
    assert all(map(math.isnan, bounds(np.array([np.nan]))))
