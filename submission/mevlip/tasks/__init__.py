"""The task types of the FLARE 2D track, one file each, and the table made of them.

A file in this package that defines `TASK` is a task: its spellings, the words the router reads, how its answers are
read, formatted and constrained, its fallback and its token budget. Everything that depends on a task is looked up in
`TASKS`, by the predictor, the trainer, the scorer, the reports and the docs alike. The package imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from mevlip.tasks.base import Direction, Task, TaskType

__all__ = [
    "GENERALIST",
    "NO_ADAPTER",
    "TASKS",
    "Direction",
    "Task",
    "TaskType",
    "adapter_names",
    "fold",
    "parse_task_type",
]

GENERALIST = "generalist"
"""Name of the multi-task adapter (MT in the paper), used when the router is unsure."""

NO_ADAPTER = "none"
"""Stands where an adapter's name would, when the base model answers alone."""


def _tasks() -> Iterator[Task]:
    for module in iter_modules(__path__):
        if task := getattr(import_module(f"{__name__}.{module.name}"), "TASK", None):
            yield task


_ORDER = [*TaskType]
TASKS: MappingProxyType[TaskType, Task] = MappingProxyType(
    {
        task.type: task
        for task in sorted(_tasks(), key=lambda one: _ORDER.index(one.type) if one.type in _ORDER else len(_ORDER))
    }
)
"""Every task, in the challenge's order; further ones after them."""


def adapter_names() -> tuple[str, ...]:
    """The adapters: the generalist first, then one per task."""
    return (GENERALIST, *(task.adapter for task in TASKS.values()))


def fold(spelling: str) -> str:
    """Folds a TaskType spelling: lower case, `_` and `-` as blanks, runs of blanks as one."""
    return " ".join(spelling.lower().replace("_", " ").replace("-", " ").split())


_BY_SPELLING = MappingProxyType({spelling: task.type for task in TASKS.values() for spelling in task.spellings})


def parse_task_type(spelling: object) -> TaskType | None:
    """Reads a TaskType field.

    Args:
        spelling: The field's value; any JSON value is accepted, because the field may be absent or wrong.

    Returns:
        The task type, or None where the value names none.
    """
    return _BY_SPELLING.get(fold(spelling)) if isinstance(spelling, str) else None
