"""The measures of each task: `metrics/<task>.py` holds all that scoring knows of one task.

A file belongs to the task whose `TaskType` value is its name, and defines one `METRICS`. Nothing else names it. `boxes`
and `numbers` are what two tasks share.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from mevlip.tasks import TASKS
from mevlip_validation.metrics.base import Measure, Points, Rows, TaskMetrics

__all__ = ["Measure", "Points", "Rows", "TaskMetrics", "metrics_of", "missing_rooms"]


@cache
def metrics_of(task: str) -> TaskMetrics:
    """The metrics of a task, such as `TaskType.COUNTING`.

    Raises:
        LookupError: The task has no file here, or its file defines no metrics.
    """
    if problem := next(iter(missing_rooms([task])), None):
        raise LookupError(problem)
    metrics: TaskMetrics = importlib.import_module(f"{__name__}.{task}").METRICS
    return metrics


def missing_rooms(tasks: Iterable[str] = TASKS) -> list[str]:
    """Lists what scoring lacks of the given tasks, one readable line for each; nothing where all is there."""
    files = {module.name for module in pkgutil.iter_modules(__path__)}
    found = []
    for task in tasks:
        room = f"mevlip_validation/metrics/{task}.py"
        if str(task) not in files:
            found.append(f"{task} has no metrics: add {room}, which defines METRICS")
        elif not isinstance(getattr(importlib.import_module(f"{__name__}.{task}"), "METRICS", None), TaskMetrics):
            found.append(f"{task} has no metrics: {room} does not define METRICS, a TaskMetrics")
    return found
