"""The challenge's measures, on typed answers: balanced accuracy, F1 of labels and boxes, mean absolute error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from submission.answers.boxes import Box

Pair = tuple[str, str]


def balanced_accuracy(pairs: Iterable[Pair]) -> float:
    """Mean recall over the classes of the truth.

    Args:
        pairs: Truth and prediction of each question.
    """
    hits: dict[str, list[bool]] = defaultdict(list)
    for truth, predicted in pairs:
        hits[truth].append(truth == predicted)
    return _ratio(sum(sum(found) / len(found) for found in hits.values()), len(hits))


def exact_share(pairs: Iterable[Pair]) -> float:
    """Share of predictions that equal the truth."""
    found = [truth == predicted for truth, predicted in pairs]
    return _ratio(sum(found), len(found))


def label_f1(pairs: Iterable[tuple[AbstractSet[str], AbstractSet[str]]]) -> float:
    """Micro F1 of label sets: true positives, false positives and misses are added up over all questions."""
    return _f1((len(truth & predicted), len(predicted), len(truth)) for truth, predicted in pairs)


def box_f1(pairs: Iterable[tuple[Sequence[Box], Sequence[Box]]], threshold: float = 0.5) -> float:
    """Micro F1 of boxes; a box is found where a free prediction overlaps it by more than the threshold.

    Args:
        pairs: True and predicted boxes of each question.
        threshold: Least intersection over union, itself not enough.
    """
    return _f1((_matches(truth, predicted, threshold), len(predicted), len(truth)) for truth, predicted in pairs)


def instance_f1(
    pairs: Iterable[tuple[Mapping[str, Sequence[Box]], Mapping[str, Sequence[Box]]]], threshold: float = 0.5
) -> float:
    """As `box_f1`, each identity matched by itself."""
    return box_f1(
        (
            (truth.get(identity, ()), predicted.get(identity, ()))
            for truth, predicted in pairs
            for identity in {*truth, *predicted}
        ),
        threshold,
    )


def mean_absolute_error(pairs: Iterable[tuple[float, float]]) -> float:
    """Mean absolute difference of truth and prediction."""
    errors = [abs(truth - predicted) for truth, predicted in pairs]
    return _ratio(sum(errors), len(errors))


def intersection_over_union(first: Box, second: Box) -> float:
    """Shared area over joint area, 0 to 1."""
    width = min(first.x_max, second.x_max) - max(first.x_min, second.x_min)
    height = min(first.y_max, second.y_max) - max(first.y_min, second.y_min)
    shared = max(width, 0) * max(height, 0)
    return _ratio(shared, _area(first) + _area(second) - shared)


def _matches(truth: Sequence[Box], predicted: Sequence[Box], threshold: float) -> int:
    """Greedy matching, the best overlap first; each box is used once."""
    overlaps = [
        (intersection_over_union(one, other), t, p) for t, one in enumerate(truth) for p, other in enumerate(predicted)
    ]
    used_truth: set[int] = set()
    used_predicted: set[int] = set()
    for overlap, t, p in sorted(overlaps, key=lambda item: (-item[0], item[1:])):
        if overlap > threshold and t not in used_truth and p not in used_predicted:
            used_truth.add(t)
            used_predicted.add(p)
    return len(used_truth)


def _f1(counts: Iterable[tuple[int, int, int]]) -> float:
    """F1 from true positives, predicted and true items, pooled."""
    found = predicted = true = 0
    for hits, said, wanted in counts:
        found, predicted, true = found + hits, predicted + said, true + wanted
    return _ratio(2 * found, predicted + true)


def _area(box: Box) -> int:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
