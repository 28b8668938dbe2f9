"""Instance detection: F1 of boxes of one identity."""

from __future__ import annotations

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.metrics.base import TaskMetrics
from mevlip_validation.metrics.boxes import box_measures

METRICS = TaskMetrics(
    measures=box_measures(),
    constant=lambda rows: TASKS[TaskType.INSTANCE_DETECTION].fallback,  # no instances
)
