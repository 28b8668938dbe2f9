"""F1 of boxes, shared by detection and instance detection."""

from __future__ import annotations

from mevlip.answers import TypedAnswer
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip_validation.box_matching import Labeled, labeled, match_by_overlap
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure, Rows
from mevlip_validation.statistics import MicroF1

THRESHOLDS = (0.5, 0.3, 0.4, 0.6, 0.7)
"""Least IoU of a found box; the first is the challenge's."""


def boxes_of(answer: TypedAnswer | None) -> list[Labeled]:
    """The boxes of a parsed answer with their identities, empty ones for plain boxes; none for other answers."""
    match answer:
        case Boxes(boxes=found):
            return [("", tuple(map(float, box))) for box in found]
        case InstanceBoxes(instances=found):
            return labeled({name: [tuple(map(float, box)) for box in some] for name, some in found})
    return []


def box_measures() -> tuple[Measure, ...]:
    """F1 at each threshold: boxes, of instances by identity, greatest overlap first, from the threshold on."""
    return tuple(map(_box_measure, THRESHOLDS))


def _box_measure(threshold: float) -> Measure:
    def count(row: Row) -> tuple[int, int, int]:
        target, predicted = boxes_of(row.parsed_target), boxes_of(row.parsed_prediction)
        return match_by_overlap(target, predicted, threshold), len(predicted), len(target)

    def statistic(rows: Rows) -> MicroF1:
        return MicroF1.of(map(count, rows))

    how = f"f1@iou>={threshold},meant,greedy-by-overlap,micro"
    return Measure(f"F1 at IoU {threshold}", "higher", how, statistic, threshold=threshold)
