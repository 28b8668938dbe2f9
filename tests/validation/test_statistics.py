from __future__ import annotations

import math
from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MacroAverage, MicroF1, Statistic

labels = st.sampled_from("abc")
pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=12)
counts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8).map(
    lambda rows: [(found, found + said, found + true) for found, said, true in rows]
)
numbers = st.lists(st.floats(0, 100), min_size=1, max_size=9)


def score(statistic: Statistic, size: int) -> float:
    return float(statistic.scores(np.ones((1, size)))[0])


@given(pairs)
def test_balanced_accuracy_is_the_mean_recall_of_the_true_classes(rows: list[tuple[str, str]]) -> None:
    classes = {truth for truth, _ in rows}
    expected = mean(mean(said == one for truth, said in rows if truth == one) for one in classes)
    assert score(BalancedAccuracy.of(rows), len(rows)) == pytest.approx(expected)


@given(counts)
def test_micro_f1_pools_the_counts(rows: list[tuple[int, int, int]]) -> None:
    found, said, true = (sum(column) for column in zip(*rows, strict=True))
    f1 = score(MicroF1.of(rows), len(rows))
    assert math.isnan(f1) if said + true == 0 else f1 == pytest.approx(2 * found / (said + true))


@given(numbers)
def test_means_medians_and_root_mean_squares(values: list[float]) -> None:
    assert score(Aggregate(tuple(values)), len(values)) == pytest.approx(mean(values))
    assert score(Aggregate(tuple(values), "median"), len(values)) == pytest.approx(median(values))
    square = math.sqrt(mean(value * value for value in values))
    assert score(Aggregate(tuple(values), "rms"), len(values)) == pytest.approx(square)


def test_one_infinite_error_makes_the_mean_infinite_and_nan_counts_for_nothing() -> None:
    assert score(Aggregate((1.0, math.inf)), 2) == math.inf
    assert score(Aggregate((1.0, math.nan, 3.0)), 3) == 2
    assert math.isnan(score(Aggregate((math.nan,)), 1))
    assert Aggregate((1.0, math.inf)).scores(np.array([[2.0, 0.0]]))[0] == 1


@given(pairs, counts, numbers, st.data())
def test_weights_are_repetitions(
    rows: list[tuple[str, str]], boxes: list[tuple[int, int, int]], values: list[float], data: st.DataObject
) -> None:
    def times(size: int) -> list[int]:
        return data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))

    for content, make in (
        (rows, BalancedAccuracy.of),
        (boxes, MicroF1.of),
        (values, lambda some: Aggregate(tuple(some))),
    ):
        weights = times(len(content))
        repeated = [one for one, count in zip(content, weights, strict=True) for _ in range(count)]
        weighted = float(make(content).scores(np.array([weights], dtype=float))[0])  # type: ignore[operator]
        expected = score(make(repeated), len(repeated))  # type: ignore[operator]
        assert weighted == pytest.approx(expected, nan_ok=True)


def test_the_mean_over_groups_leaves_absent_ones_out() -> None:
    statistic = MacroAverage((Aggregate((1.0, 3.0)), Aggregate((10.0,))), ((0, 2), (1,)))
    assert score(statistic, 3) == 6
    assert statistic.scores(np.array([[1.0, 0.0, 1.0]]))[0] == 2


def test_burdens_are_shares_of_the_error() -> None:
    assert Aggregate((1.0, math.nan, 3.0)).burdens().tolist() == [0.25, 0.0, 0.75]
    assert Aggregate((1.0, 3.0), "rms").burdens().tolist() == [0.1, 0.9]
    assert Aggregate((1.0, 3.0), "median").burdens().tolist() == Aggregate((0.0, 0.0)).burdens().tolist() == [0.0, 0.0]
    assert Aggregate((1.0, math.inf)).burdens().tolist() == [0.0, 1.0]


def test_burdens_count_by_group_where_groups_do() -> None:
    """Groups of errors 2 and 6 make a quarter and three quarters of the mean of 4, however many questions they have."""
    statistic = MacroAverage((Aggregate((1.0, 3.0)), Aggregate((6.0,))), ((0, 2), (1,)))
    assert statistic.burdens().tolist() == [0.0625, 0.75, 0.1875]
    endless = MacroAverage((Aggregate((1.0, math.inf)), Aggregate((6.0,))), ((0, 2), (1,)))
    assert endless.burdens().tolist() == [0.0, 0.0, 1.0]
