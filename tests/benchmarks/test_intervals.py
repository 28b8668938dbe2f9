"""The simulation of intervals and verdicts, small and with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.answer_models import answer_models, difficulties
from benchmarks.intervals import bca_bounds, coverage, coverage_table, false_differences, false_verdicts
from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.statistics import Aggregate

MODELS = {model.name: model for model in answer_models()}


@pytest.mark.parametrize("name", list(MODELS))
def test_the_true_scores_are_those_of_many_questions(name: str) -> None:
    rng, model = np.random.default_rng(1), MODELS[name]
    scores = []
    for _ in range(30):
        [rows] = model.draw(rng, difficulties(rng, 6000, 1))
        scores.append(score_of(model.statistic(rows), len(rows)))
    error = np.std(scores) / np.sqrt(len(scores))
    assert abs(np.mean(scores) - model.truth) < 4 * error + 0.001 * model.truth


def test_bca_is_scipys_on_questions_of_their_own() -> None:
    values = np.random.default_rng(4).lognormal(0, 1, 150)
    bootstrap, statistic = Bootstrap(range(150), 8000), Aggregate(tuple(values))
    found = bca_bounds(statistic, bootstrap, bootstrap.scores(statistic))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=np.random.default_rng(5))
    assert found == pytest.approx(tuple(theirs.confidence_interval), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if not ("700" in name or ".01" in name or "root" in name)])
def test_intervals_hold_the_true_score(name: str) -> None:
    assert coverage(MODELS[name], 100, 1, 60)["chosen"] >= 0.85


@pytest.mark.slow
def test_skewed_errors_of_few_questions_are_held_more_often_than_by_percentiles() -> None:
    found = coverage(MODELS["mean error, lognormal"], 30, 6, 100)
    assert found["chosen"] > found["percentile"] + 0.05 and found["chosen"] >= 0.85


@pytest.mark.slow
def test_swaps_find_fewer_false_differences_than_the_bootstrap() -> None:
    found = false_differences(MODELS["mean error, 1 of 700 is 2,085"], 100, 6, 80)
    assert found["swaps"] <= 0.12 and found["swaps"] < found["bootstrap"]


@pytest.mark.slow
@pytest.mark.parametrize("systems", [2, 5])
def test_equal_systems_seldom_differ(systems: int) -> None:
    assert false_verdicts(systems, 40, 1, 20) <= 0.15


def test_the_table_has_a_row_for_each_measure_and_clustering() -> None:
    assert len(coverage_table(1, [30]).splitlines()) == 2 + 2 * len(MODELS)
