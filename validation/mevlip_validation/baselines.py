"""What a constant would score: the baseline that every score is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of

CONSTANT = "constant"


def constant_rows(rows: Sequence[Row], known: Iterable[Row]) -> list[Row]:
    """The same rows, answered with one constant for each data set and task.

    It is the most frequent letter, label set or report, the median number, the mean box; no instances.

    Args:
        rows: The rows to answer.
        known: Rows whose targets may be used, such as the training split.

    Returns:
        Rows in the same order; a data set that `known` does not contain gets the task's fallback answer.
    """
    groups: dict[tuple[str, TaskType], list[Row]] = {}
    for row in known:
        groups.setdefault((row.dataset, row.task), []).append(row)
    constants = {key: metrics_of(key[1]).constant(group) for key, group in groups.items()}
    return [
        replace(
            row,
            answers=(constants.get((row.dataset, row.task), TASKS[row.task].fallback),),
            turn=0,
            explanation=None,
            judgments={},
        )
        for row in rows
    ]
