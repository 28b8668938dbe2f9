"""How many predicted boxes are true: the public ways of matching, and the overlap that they all use."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

Numbers = tuple[float, ...]
Instances = dict[str, list[Numbers]]
"""Boxes by identity."""
Labeled = tuple[str, Numbers]


def iou(first: Numbers, second: Numbers) -> float:
    """Shared area over joint area, 0 to 1; 0 where either is not a box, or where numbers are too great to tell."""
    if len(first) != 4 or len(second) != 4:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if not (width > 0 and height > 0):
        return 0.0
    try:
        shared = width * height
        share = shared / (_area(first) + _area(second) - shared)
    except (OverflowError, ZeroDivisionError):
        return 0.0
    return 0.0 if isnan(share) else share


def match_by_target(target: Sequence[Numbers], predicted: Sequence[Numbers], threshold: float) -> int:
    """Matches where each true box in turn takes the free prediction that overlaps it most, if above the threshold."""
    free, found = list(range(len(predicted))), 0
    for box in target:
        best = max(free, key=lambda index: iou(box, predicted[index]), default=None)
        if best is not None and iou(box, predicted[best]) > threshold:
            free.remove(best)
            found += 1
    return found


def match_by_overlap(
    target: Sequence[Labeled], predicted: Sequence[Labeled], threshold: float, strictly: bool = False
) -> int:
    """How many boxes `pairs_by_overlap` finds."""
    return len(pairs_by_overlap(target, predicted, threshold, strictly))


def pairs_by_overlap(
    target: Sequence[Labeled], predicted: Sequence[Labeled], threshold: float, strictly: bool = False
) -> list[tuple[int, int]]:
    """Matches where the greatest overlap comes first, from the threshold on; of equal overlaps the first boxes'.

    Args:
        target: True boxes with labels.
        predicted: Predicted boxes with labels; labels are compared only where both boxes have one.
        threshold: Least overlap.
        strictly: Whether the threshold itself is too little.

    Returns:
        Places of a true and a predicted box, the greatest overlap first.
    """
    pairs = sorted(
        (
            (-value, t, p)
            for t, (name, box) in enumerate(target)
            for p, (other, guess) in enumerate(predicted)
            if (not name or not other or name == other)
            and ((value := iou(box, guess)) > threshold or (value == threshold and not strictly))
        ),
    )
    found: list[tuple[int, int]] = []
    used_target: set[int] = set()
    used_predicted: set[int] = set()
    for _, t, p in pairs:
        if t not in used_target and p not in used_predicted:
            used_target.add(t)
            used_predicted.add(p)
            found.append((t, p))
    return found


def labeled(instances: Instances) -> list[Labeled]:
    """Boxes with their identities."""
    return [(name, box) for name, boxes in instances.items() for box in boxes]


def _area(box: Numbers) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
