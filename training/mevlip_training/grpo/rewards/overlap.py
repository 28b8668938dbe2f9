"""How well boxes lie, shared by detection and instance detection."""

from __future__ import annotations

from collections.abc import Sequence

from mevlip_validation.box_matching import Labeled, Numbers, iou, pairs_by_overlap
from mevlip_validation.metrics.boxes import THRESHOLDS

FORMULA = "half F1 at IoU 0.5, half 2 sum((1 + GIoU) / 2 of pairs) / (true + said boxes)"


def box_score(true: Sequence[Labeled], said: Sequence[Labeled]) -> float:
    """Half the metric's F1 and half a smooth twin of it, 0 to 1; 1 for the same boxes, and where there are none.

    Boxes are paired as the metric does it, the greatest overlap first, but from no overlap on. F1 is 2 h / (t + s) with
    h pairs of IoU 0.5 or more, t true and s said boxes; its twin is 2 Σ (1 + GIoU) / 2 / (t + s) over all pairs, so
    that a box that misses is worth more the nearer it lies. Boxes beyond the true ones are worth nothing and raise s.
    """
    if not true and not said:
        return 1.0
    pairs = [(true[t][1], said[s][1]) for t, s in pairs_by_overlap(true, said, threshold=0)]
    found = sum(iou(*pair) >= THRESHOLDS[0] for pair in pairs)
    near = sum((1 + giou(*pair)) / 2 for pair in pairs)
    return (found + near) / (len(true) + len(said))


def giou(first: Numbers, second: Numbers) -> float:
    """Generalized IoU (Rezatofighi et al. 2019) of two boxes with areas: IoU less the unused share of their hull.

    Returns:
        -1 (far apart) to 1 (the same box).
    """
    width = max(first[2], second[2]) - min(first[0], second[0])
    height = max(first[3], second[3]) - min(first[1], second[1])
    hull, overlap = width * height, iou(first, second)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    union = areas / (1 + overlap)  # areas = union + shared, and shared = overlap · union
    return overlap - (hull - union) / hull
