"""Detection: F1 of boxes."""

from __future__ import annotations

import json
from statistics import fmean

from mevlip_validation.metrics.base import Rows, TaskMetrics
from mevlip_validation.metrics.boxes import box_measures, boxes_of


def mean_box(rows: Rows) -> str:
    """The mean of all target boxes; no box where there are none."""
    boxes = [box for row in rows for _, box in boxes_of(row.parsed_target)]
    return json.dumps([[round(fmean(corner)) for corner in zip(*boxes, strict=True)]] if boxes else [])


METRICS = TaskMetrics(measures=box_measures(), constant=mean_box)
