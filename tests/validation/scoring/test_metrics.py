from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submission.answers.boxes import Box
from validation.scoring.metrics import (
    balanced_accuracy,
    box_f1,
    exact_share,
    instance_f1,
    intersection_over_union,
    label_f1,
    mean_absolute_error,
)

boxes = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 15)).map(
    lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def test_balanced_accuracy_is_the_mean_recall_of_the_true_classes() -> None:
    # A: 3 of 4 right, B: 0 of 1; C is only ever predicted, so it has no recall.
    pairs = [("A", "A"), ("A", "A"), ("A", "A"), ("A", "C"), ("B", "A")]
    assert balanced_accuracy(pairs) == pytest.approx((3 / 4 + 0) / 2)


def test_label_f1_pools_labels_over_questions() -> None:
    pairs = [({"x", "y"}, {"x"}), ({"z"}, {"z", "w"})]
    assert label_f1(pairs) == pytest.approx(2 * 2 / (3 + 3))


def test_a_box_counts_from_above_half_overlap() -> None:
    truth = Box(0, 0, 10, 10)
    exactly_half, more = Box(0, 0, 10, 5), Box(0, 0, 10, 6)
    assert intersection_over_union(truth, exactly_half) == 0.5
    assert box_f1([((truth,), (exactly_half,))]) == 0
    assert box_f1([((truth,), (more,))]) == 1


def test_duplicates_of_a_found_box_are_false() -> None:
    box = Box(0, 0, 10, 10)
    assert box_f1([((box,), (box, box))]) == pytest.approx(2 / 3)


def test_the_best_overlap_is_matched_first() -> None:
    truth = (Box(0, 0, 10, 10), Box(0, 3, 10, 13))
    predicted = (Box(0, 2, 10, 12), Box(0, 0, 10, 10))
    assert box_f1([(truth, predicted)]) == 1


def test_an_instance_under_another_identity_is_not_found() -> None:
    one, two = Box(0, 0, 10, 10), Box(20, 20, 40, 40)
    pairs = [({"1": (one,), "2": (two,)}, {"1": (one,), "3": (two,)})]
    assert instance_f1(pairs) == pytest.approx(2 * 1 / (2 + 2))


def test_nothing_to_score_is_zero() -> None:
    assert [f([]) for f in (balanced_accuracy, exact_share, label_f1, box_f1, instance_f1, mean_absolute_error)] == [
        0
    ] * 6


def test_exact_share_and_absolute_error() -> None:
    assert exact_share([("a", "a"), ("a", "b")]) == 0.5
    assert mean_absolute_error([(3, 5), (10, 10)]) == 1


@given(st.lists(boxes, max_size=4))
def test_truth_against_itself_is_perfect(found: list[Box]) -> None:
    distinct = tuple(dict.fromkeys(found))
    assert box_f1([(distinct, distinct)]) == (1 if distinct else 0)


@given(st.lists(boxes, max_size=3), st.lists(boxes, max_size=3))
def test_the_score_is_a_share_and_symmetric(one: list[Box], other: list[Box]) -> None:
    score = box_f1([(one, other)])
    assert 0 <= score <= 1
    assert score == box_f1([(other, one)])
