"""Measuring a quantity."""

from mevlip.answers.numbers import Measurement
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.REGRESSION,
    title="Regression",
    spellings=("regression",),
    router_label="measure a quantity",
    answer=Measurement,
    fallback="27.8",
    max_new_tokens=24,
    metric="mean absolute error",
    direction="lower",
)
