"""FLARE 2025, by the rules of its PaliGemma evaluator, whose author wrote the challenge's container contract too.

ME-VLIP's own evaluator equals it. It reads exact text, Python literals and bare numbers. Rows of one task are pooled
over all data sets. Rows with the same image names and question are one row, of which the last truth and the last
answer count. A question without a prediction costs nothing, neither does an answer whose boxes cannot be read, while
one that can be read but is not a list of boxes misses them all; one unreadable number makes the mean error infinite.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from math import inf, isfinite, nan
from typing import Any

from mevlip.tasks import TaskType
from mevlip_validation.box_matching import Instances, Numbers, match_by_overlap, match_by_target
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure
from mevlip_validation.metrics.numbers import SIGNATURE_NAMES
from mevlip_validation.protocols.base import KEPT, Formula, Protocol, Reader, Rows, text_of
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MicroF1

Counts = tuple[int, int, int]
"""Boxes or labels found, predicted and true."""

_FREE: Counts = (0, 0, 0)
_UNREADABLE = (ValueError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError)


def read_choice(value: Any) -> str:
    """Exact text, letter case aside."""
    return text_of(value).strip().lower()


def read_labels(value: Any) -> frozenset[str] | None:
    """Split at semicolons and commas alike; None for what is not text."""
    if not isinstance(value, str):
        return None
    return frozenset(part.strip().lower() for part in re.split(r"[;,]", value) if part.strip())


def read_boxes(text: str) -> list[Numbers] | None:
    """A Python literal; each item of the list is taken for a box, so a flat box is four that match nothing."""
    try:
        content = _literal(text)
    except _UNREADABLE:
        return None
    return [_numbers(item) for item in content] if isinstance(content, list) else []


def read_instances(text: str) -> Instances | None:
    """JSON; what is not an object counts as an empty one, what is not JSON as if the row were not there."""
    try:
        content = _json(text)
        return {name: list(map(_numbers, boxes)) for name, boxes in content.items()}
    except AttributeError:
        return {}
    except _UNREADABLE:
        return None


def read_number(value: Any) -> float | None:
    """A bare number; anything else makes the error of the whole task infinite."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if isfinite(number) else None


def score_choices(measure: Measure) -> Formula:
    """Pooled balanced accuracy of exact text."""

    def pair(row: Row) -> tuple[str | None, str]:
        return (read_choice(row.truth), read_choice(row.answers[-1])) if _counts(row) else (None, "")

    return Formula("balanced-accuracy@exact,nocase,pooled", lambda rows: BalancedAccuracy.of(map(pair, rows)))


def score_labels(measure: Measure) -> Formula:
    """Micro F1 of labels."""

    def count(row: Row) -> Counts:
        target, predicted = read_labels(row.truth), read_labels(row.answers[-1])
        if target is None or predicted is None:
            return _FREE
        return len(target & predicted), len(predicted), len(target)

    return Formula("f1@split[;,],nocase,micro", _micro_f1(count))


def score_boxes(measure: Measure) -> Formula:
    """Each true box in turn takes the free prediction that overlaps it most, if by more than the threshold."""

    def count(row: Row) -> Counts:
        target, predicted = _literal(row.truth), _literal(row.answers[-1])
        if not isinstance(predicted, list):
            return 0, 0, len(target)
        boxes = [_numbers(box) for box in target]
        found = match_by_target(boxes, [_numbers(box) for box in predicted], measure.threshold)
        return found, len(predicted), len(boxes)

    return Formula(f"f1@iou>{measure.threshold},greedy-by-truth,micro", _micro_f1(count))


def score_instances(measure: Measure) -> Formula:
    """Boxes of one identity among themselves, the greatest overlap first, from the threshold on."""

    def of_identity(target: Any, predicted: Any) -> Counts:
        try:
            boxes, guesses = [("", _numbers(box)) for box in target], [("", _numbers(box)) for box in predicted]
        except TypeError:  # a number or null: the evaluator stops at this identity, in an order that hashes decide
            return _FREE
        return match_by_overlap(boxes, guesses, measure.threshold), len(guesses), len(boxes)

    def count(row: Row) -> Counts:
        target, predicted = _json(row.truth), _json(row.answers[-1])
        if not isinstance(predicted, dict):
            return 0, 0, sum(len(boxes) for boxes in target.values() if isinstance(boxes, list))
        parts = [of_identity(target.get(name, []), predicted.get(name, [])) for name in target | predicted]
        found, guessed, true = (sum(part) for part in zip(_FREE, *parts, strict=True))
        return found, guessed, true

    return Formula(f"f1@iou>={measure.threshold},per-identity,greedy-by-overlap,micro", _micro_f1(count))


def score_numbers(measure: Measure) -> Formula:
    """Absolute errors of bare numbers."""

    def error(row: Row) -> float:
        if not _counts(row):
            return nan
        target, predicted = read_number(row.truth), read_number(row.answers[-1])
        return inf if target is None or predicted is None else abs(target - predicted)

    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(map(error, rows)), measure.aggregation)

    return Formula(f"{SIGNATURE_NAMES[measure.aggregation]}@bare-number,unreadable=inf,pooled", statistic)


def _counts(row: Row) -> bool:
    """Whether the evaluator knows the row: it has an answer, and no later truth takes its place."""
    return row.is_last and bool(row.answers)


def _micro_f1(count: Callable[[Row], Counts]) -> Callable[[Rows], MicroF1]:
    """Micro F1 of what rows count; a row that cannot be read counts nothing, and nothing at all is zero."""

    def read(row: Row) -> Counts | None:
        if not _counts(row):
            return None
        try:
            return count(row)
        except _UNREADABLE:
            return _FREE

    return lambda rows: MicroF1.of(map(read, rows), of_nothing=0.0)


def _literal(value: Any) -> Any:
    """What a text says in Python's notation; another value is what it is."""
    return _literal_of(value) if isinstance(value, str) else value


def _json(value: Any) -> Any:
    return _json_of(value) if isinstance(value, str) else value


# Each threshold of a measure reads the same texts again; nothing changes what was read.
@lru_cache(KEPT)
def _literal_of(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's warnings quote the text
        return ast.literal_eval(text)


@lru_cache(KEPT)
def _json_of(text: str) -> Any:
    return json.loads(text)


def _numbers(box: Any) -> Numbers:
    """The four numbers of a box, whatever holds them; none where it is not four numbers."""
    try:
        values = tuple(box)
    except TypeError:
        return ()
    return values if len(values) == 4 and all(isinstance(value, int | float) for value in values) else ()


PROTOCOL = Protocol(
    "flare25",
    "FLARE 2025 baseline PaliGemma, ME-VLIP",
    Reader(read_choice, read_labels, read_boxes, read_instances, read_number, read_number),
    scorers={
        TaskType.CLASSIFICATION: score_choices,
        TaskType.MULTI_LABEL: score_labels,
        TaskType.DETECTION: score_boxes,
        TaskType.INSTANCE_DETECTION: score_instances,
        TaskType.COUNTING: score_numbers,
        TaskType.REGRESSION: score_numbers,
    },
    judges=("GREEN",),
    version=2,
    exceptions={"label with a separator": "cuts such a label at its comma"},
)
