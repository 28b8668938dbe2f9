"""Counting: absolute errors of counts."""

from __future__ import annotations

from mevlip.answers.numbers import Count
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import TaskMetrics
from mevlip_validation.metrics.numbers import error_measures, median_target, number_of, points


def counts_nothing(row: Row) -> bool:
    """Whether the prediction is absent or zero."""
    return not (row.prediction or "").strip() or number_of(row.parsed_prediction) == 0


METRICS = TaskMetrics(
    measures=error_measures(),
    constant=median_target(TASKS[TaskType.COUNTING].fallback, lambda value: Count(round(value)).format()),
    points=points,
    is_empty=counts_nothing,
    number=number_of,
)
