"""Matching of boxes against counting pixels and trying every assignment."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mevlip_validation.box_matching import iou, match_by_overlap, match_by_target

Box = tuple[float, ...]

boxes = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
some = st.lists(boxes, max_size=4)
thresholds = st.sampled_from((0.3, 0.4, 0.5, 0.6, 0.7))


def pixels(box: Box) -> set[tuple[int, int]]:
    left, top, right, bottom = map(int, box)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@given(boxes, boxes)
def test_overlap_is_shared_pixels_over_joint_pixels(one: Box, other: Box) -> None:
    a, b = pixels(one), pixels(other)
    assert iou(one, other) == pytest.approx(len(a & b) / len(a | b))


def test_what_is_no_box_overlaps_nothing() -> None:
    assert iou((1.0,), (0.0, 0.0, 1.0, 1.0)) == 0
    assert iou((5.0, 5.0, 1.0, 1.0), (5.0, 5.0, 1.0, 1.0)) == 0, "corners the wrong way round have no area"


def most_pairs(truth: list[Box], said: list[Box], threshold: float) -> int:
    """The largest number of pairs that any assignment reaches, found by trying all."""
    short, long = sorted((truth, said), key=len)
    return max(
        sum(iou(one, other) > threshold for one, other in zip(short, order, strict=True))
        for order in permutations(long, len(short))
    )


@given(some, some, thresholds)
def test_greedy_never_finds_more_than_the_best_assignment(truth: list[Box], said: list[Box], threshold: float) -> None:
    best = most_pairs(truth, said, threshold)
    assert match_by_target(truth, said, threshold) <= best
    greedy = match_by_overlap([("", box) for box in truth], [("", box) for box in said], threshold, strictly=True)
    assert best / 2 <= greedy <= best, "any maximal matching has at least half the pairs of the largest"


@given(some, some)
def test_greedy_is_optimal_where_true_boxes_and_said_boxes_are_apart(truth: list[Box], said: list[Box]) -> None:
    for group in (truth, said):
        assume(all(iou(a, b) == 0 for i, a in enumerate(group) for b in group[:i]))
    best = most_pairs(truth, said, 0.5)  # above one half a box can overlap at most one of a disjoint group
    assert match_by_target(truth, said, 0.5) == best
    assert match_by_overlap([("", box) for box in truth], [("", box) for box in said], 0.5, strictly=True) == best


def simulate(truth: list[Box], said: list[Box], threshold: float) -> int:
    """Takes the best free pair again and again, looking at all of them each time."""
    free_truth, free_said, found = list(truth), list(said), 0
    while free_truth and free_said:
        value, t, s = max((iou(a, b), -i, -j) for i, a in enumerate(free_truth) for j, b in enumerate(free_said))
        if value < threshold:
            break
        del free_truth[-t], free_said[-s]
        found += 1
    return found


@given(some, some, thresholds)
def test_matching_by_overlap_is_taking_the_best_pair_again_and_again(
    truth: list[Box], said: list[Box], threshold: float
) -> None:
    assert match_by_overlap([("", box) for box in truth], [("", box) for box in said], threshold) == simulate(
        truth, said, threshold
    )


@given(some, some, thresholds)
def test_matching_by_target_serves_each_true_box_in_turn(truth: list[Box], said: list[Box], threshold: float) -> None:
    free, found = list(said), 0
    for box in truth:
        best = max(free, key=lambda other: iou(box, other), default=None)
        if best is not None and iou(box, best) > threshold:
            free.remove(best)
            found += 1
    assert match_by_target(truth, said, threshold) == found


@given(
    st.lists(st.tuples(st.sampled_from("12"), boxes), max_size=4),
    st.lists(st.tuples(st.sampled_from("12"), boxes), max_size=4),
)
def test_identities_are_matched_among_themselves(truth: list[tuple[str, Box]], said: list[tuple[str, Box]]) -> None:
    each = (
        match_by_overlap([one for one in truth if one[0] == name], [one for one in said if one[0] == name], 0.5)
        for name in "12"
    )
    assert match_by_overlap(truth, said, 0.5) == sum(each)
