"""What a constant would score: the sanity check that every score needs beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean, median

from mevlip.answers.numbers import Count, Measurement
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules.macro import boxes_of, number_of

CONSTANT = "constant"


def constant_rows(rows: Sequence[Row], known: Iterable[Row]) -> list[Row]:
    """The same rows, answered with one constant for each data set and task.

    It is the most frequent letter, label set or report, the median number, the mean box; no instances.

    Args:
        rows: What is to be answered.
        known: Rows whose truth may be looked at, such as the training split.

    Returns:
        Rows in the same order; a data set that `known` does not hold gets the task's fallback answer.
    """
    truths: dict[tuple[str, TaskType], list[Row]] = {}
    for row in known:
        truths.setdefault((row.dataset, row.task), []).append(row)
    constants = {key: _constant(key[1], some) for key, some in truths.items()}
    return [
        replace(
            row,
            said=constants.get((row.dataset, row.task), TASKS[row.task].fallback),
            later=(),
            explanation={},
            judgments={},
        )
        for row in rows
    ]


def _constant(task: TaskType, rows: Sequence[Row]) -> str:
    match task:
        case TaskType.COUNTING | TaskType.REGRESSION:
            values = [number_of(row.meant_truth) for row in rows if row.meant_truth is not None]
            if not values:
                return TASKS[task].fallback
            middle = median(values)
            return (Count(round(middle)) if task is TaskType.COUNTING else Measurement(float(middle))).format()
        case TaskType.DETECTION:
            boxes = [box for row in rows for _, box in boxes_of(row.meant_truth)]
            return json.dumps([[round(fmean(corner)) for corner in zip(*boxes, strict=True)]] if boxes else [])
        case TaskType.INSTANCE_DETECTION:
            return TASKS[task].fallback
        case _:
            return Counter(row.truth for row in rows).most_common(1)[0][0]
