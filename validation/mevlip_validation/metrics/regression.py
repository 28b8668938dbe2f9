"""Regression: absolute errors of measurements."""

from __future__ import annotations

from mevlip.answers.numbers import Measurement
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.metrics.base import TaskMetrics
from mevlip_validation.metrics.numbers import error_measures, median_target, number_of, points

METRICS = TaskMetrics(
    measures=error_measures(),
    constant=median_target(TASKS[TaskType.REGRESSION].fallback, lambda value: Measurement(float(value)).format()),
    points=points,
    number=number_of,
)
