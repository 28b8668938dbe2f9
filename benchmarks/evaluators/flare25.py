"""FLARE 2025's public evaluator, the PaliGemma baseline's, as an oracle."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.evaluators import Undefined

Record = dict[str, Any]
Pairs = list[tuple[Any, Any]]
"""True and predicted answers of one task, any JSON values."""
Counts = tuple[int, int, int]
"""Hits, false alarms, misses."""


def score(truth: Sequence[Record], predictions: Sequence[Record]) -> dict[str, float]:
    """Scores a predictions file.

    Args:
        truth: Records of all question files, in the order in which they are read.
        predictions: Records of the predictions file.

    Returns:
        The main score of each TaskType, as the records spell it; none for a task that is not scored, for reports, and
        for a task without a single prediction.

    Raises:
        Undefined: The evaluator stops with an error, or its score depends on the order of a set.
    """
    # Of equal image names and questions the last record counts, at both sides, in whatever folder it lies.
    last_truth = {_key(record): record for record in truth}
    last_prediction = {_key(record): record for record in predictions}
    by_task: dict[str, Pairs] = {}
    for key, record in last_truth.items():
        if key in last_prediction:  # what was not predicted costs nothing
            pair = record.get("Answer", ""), last_prediction[key].get("Answer", "")
            by_task.setdefault(_task(record), []).append(pair)
    scores = {task: _MEASURES[task](pairs) for task, pairs in by_task.items() if task in _MEASURES}
    return {record["TaskType"]: scores[_task(record)] for record in truth if _task(record) in scores}


def _key(record: Record) -> str:
    image = record["ImageName"] if "ImageName" in record else record.get("image", "")
    return f"{image}||{record.get('Question', '')}"


def _task(record: Record) -> str:
    return str(record.get("TaskType", "")).lower().strip()


def _balanced_accuracy(pairs: Pairs) -> float:
    """The mean recall of the true classes, compared in lower case without outer blanks."""
    seen: dict[str, list[bool]] = {}
    for target, answer in pairs:
        wanted, given = ("" if value is None else str(value).lower().strip() for value in (target, answer))
        seen.setdefault(wanted, []).append(wanted == given)
    recalls = [sum(hits) / len(hits) for hits in seen.values()]
    return sum(recalls) / len(recalls)


def _micro_f1(rows: Sequence[Counts]) -> float:
    """F1 of counts added up over all rows; nothing found and nothing to find is 0."""
    hits, alarms, misses = (sum(row[place] for row in rows) for place in range(3))
    return 2 * hits / (2 * hits + alarms + misses) if hits else 0.0


def _label_f1(pairs: Pairs) -> float:
    rows = []
    for target, answer in pairs:
        if isinstance(target, str) and isinstance(answer, str):  # other JSON values: the row is skipped
            wanted, given = _labels(target), _labels(answer)
            rows.append((len(wanted & given), len(given - wanted), len(wanted - given)))
    return _micro_f1(rows)


def _labels(text: str) -> set[str]:
    return {part.lower().strip() for part in re.split("[,;]", text)} - {""}


def _box_f1(pairs: Pairs) -> float:
    rows = []
    for target, answer in pairs:
        try:
            wanted = ast.literal_eval(target) if isinstance(target, str) else target
            given = ast.literal_eval(answer) if isinstance(answer, str) else answer
            rows.append(_box_counts(wanted, given))
        except Exception:  # noqa: BLE001, S112 - any failure makes the row free of charge
            continue
    return _micro_f1(rows)


def _box_counts(wanted: Any, given: Any) -> Counts:
    """Each true box in turn takes the free predicted box that overlaps most, the first of equals, if above 0.5."""
    if not isinstance(given, list):
        return 0, 0, len(wanted)
    free = list(given)
    hits = misses = 0
    for box in wanted:
        overlaps = [_overlap(box, one) for one in free]
        if overlaps and max(overlaps) > 0.5:
            del free[overlaps.index(max(overlaps))]
            hits += 1
        else:
            misses += 1
    return hits, len(free), misses


def _instance_f1(pairs: Pairs) -> float:
    rows: list[Counts] = []
    for target, answer in pairs:
        try:
            wanted = json.loads(target) if isinstance(target, str) else target
            given = json.loads(answer) if isinstance(answer, str) else answer
        except (ValueError, RecursionError):
            continue
        if isinstance(wanted, dict):  # a truth that is something else fails, whatever was predicted
            rows += _instance_rows(wanted, given)
    return _micro_f1(rows)


def _instance_rows(wanted: dict[str, Any], given: Any) -> list[Counts]:
    """The counts of each identity.

    Raises:
        Undefined: One identity fails, so that of the others only those count that came before it in a set.
    """
    if not isinstance(given, dict):
        return [(0, 0, len(boxes)) for boxes in wanted.values() if isinstance(boxes, list)]
    rows: list[Counts] = []
    failed = False
    for identity in wanted.keys() | given.keys():
        try:
            rows.append(_identity_counts(wanted.get(identity, []), given.get(identity, [])))
        except TypeError:
            failed = True
    if failed and any(map(any, rows)):
        raise Undefined("an identity fails beside others: the order of a set decides which count")
    return rows


def _identity_counts(wanted: Any, given: Any) -> Counts:
    """Pairs are taken by falling overlap, the first of equals, as long as it is at least 0.5."""
    pairs = [(-_overlap(box, one), i, j) for i, box in enumerate(wanted) for j, one in enumerate(given)]
    taken: list[tuple[int, int]] = []
    for overlap, i, j in sorted(pairs):
        if -overlap >= 0.5 and all(i != i_taken and j != j_taken for i_taken, j_taken in taken):
            taken.append((i, j))
    return len(taken), len(given) - len(taken), len(wanted) - len(taken)


def _overlap(wanted: Any, given: Any) -> float:
    """Intersection over union; 0 for what is not a box."""
    try:
        (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) = wanted, given
        width = min(right, right_2) - max(left, left_2)
        height = min(bottom, bottom_2) - max(top, top_2)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        union = (right - left) * (bottom - top) + (right_2 - left_2) * (bottom_2 - top_2) - shared
        return float(shared / union) if union > 0 else 0.0
    except Exception:  # noqa: BLE001 - whatever cannot be computed does not overlap
        return 0.0


def _absolute_error(pairs: Pairs) -> float:
    """The mean absolute error; infinite as soon as one answer of the task is not a number.

    Raises:
        Undefined: A number is not finite, which the library that computes the mean refuses.
    """
    numbers = []
    for pair in pairs:
        try:
            numbers.append([float(value) for value in pair])
        except (TypeError, ValueError, OverflowError):
            return math.inf
    if not all(math.isfinite(value) for pair in numbers for value in pair):
        raise Undefined("a number that is not finite")
    return sum(abs(target - answer) for target, answer in numbers) / len(numbers)


_MEASURES: dict[str, Callable[[Pairs], float]] = {
    "classification": _balanced_accuracy,
    "multi-label classification": _label_f1,
    "detection": _box_f1,
    "instance_detection": _instance_f1,
    "counting": _absolute_error,
    "regression": _absolute_error,
}
