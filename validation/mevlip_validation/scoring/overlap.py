"""How many predicted boxes are true: three public ways of matching, and the overlap they all use."""

from __future__ import annotations

from collections.abc import Sequence

from mevlip_validation.scoring.conventions.base import Instances, Numbers

Labeled = tuple[str, Numbers]


def overlap(first: Numbers, second: Numbers) -> float:
    """Shared area over joint area, 0 to 1; 0 where either is no box."""
    if len(first) != 4 or len(second) != 4:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    joint = _area(first) + _area(second) - shared
    return shared / joint if joint > 0 else 0.0


def by_truth(truth: Sequence[Numbers], said: Sequence[Numbers], threshold: float) -> int:
    """Matches where each true box in turn takes the free prediction that overlaps it most, if above the threshold."""
    free, found = list(range(len(said))), 0
    for box in truth:
        best = max(free, key=lambda index: overlap(box, said[index]), default=None)
        if best is not None and overlap(box, said[best]) > threshold:
            free.remove(best)
            found += 1
    return found


def by_overlap(truth: Sequence[Labeled], said: Sequence[Labeled], threshold: float, strictly: bool = False) -> int:
    """Matches where the greatest overlap comes first, from the threshold on.

    Args:
        truth: True boxes with labels.
        said: Predicted boxes with labels; labels are compared only where both boxes have one.
        threshold: Least overlap.
        strictly: Whether the threshold itself is too little.
    """
    pairs = sorted(
        (
            (-value, t, p)
            for t, (name, box) in enumerate(truth)
            for p, (other, guess) in enumerate(said)
            if (not name or not other or name == other)
            and ((value := overlap(box, guess)) > threshold or (value == threshold and not strictly))
        ),
    )
    used_truth: set[int] = set()
    used_said: set[int] = set()
    for _, t, p in pairs:
        if t not in used_truth and p not in used_said:
            used_truth.add(t)
            used_said.add(p)
    return len(used_truth)


def labeled(instances: Instances) -> list[Labeled]:
    """Boxes with their identities."""
    return [(name, box) for name, boxes in instances.items() for box in boxes]


def _area(box: Numbers) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
