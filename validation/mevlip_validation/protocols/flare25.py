"""FLARE 2025, by the rules of its PaliGemma evaluator, whose author wrote the challenge's container contract too.

ME-VLIP's own evaluator equals it. It reads exact text, Python literals and bare numbers. Rows of one task are pooled
over all data sets. A question without a prediction costs nothing, neither does an answer whose boxes cannot be read; of
several answers to one question the last counts; one unreadable number makes the mean error infinite.
"""

from __future__ import annotations

import ast
import json
import re
from math import inf, nan
from typing import Any

from mevlip.tasks import TaskType
from mevlip_validation.box_matching import Instances, Numbers, labeled, match_by_overlap, match_by_target
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure
from mevlip_validation.metrics.numbers import SIGNATURE_NAMES
from mevlip_validation.protocols.base import Formula, Protocol, Reader, Rows, as_box, by_identity
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MicroF1

_FREE = (0, 0, 0)


def read_choice(text: str) -> str:
    """Exact text, letter case aside."""
    return text.strip().lower()


def read_labels(text: str) -> frozenset[str]:
    """Split at semicolons and commas alike."""
    return frozenset(part.strip().lower() for part in re.split(r"[;,]", text) if part.strip())


def read_boxes(text: str) -> list[Numbers] | None:
    """A Python literal; each item of the list is taken for a box, so a flat box is four that match nothing."""
    try:
        content: Any = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not isinstance(content, list | tuple):
        return None
    return [as_box(item) for item in content]


def read_instances(text: str) -> Instances | None:
    """JSON; what is not an object counts as an empty one, what is not JSON as if the row were not there."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return {}
    return by_identity(content)


def read_number(text: str) -> float | None:
    """A bare number; anything else makes the error of the whole task infinite."""
    try:
        return float(text)
    except ValueError:
        return None


def counted_prediction(row: Row) -> str | None:
    """The answer that counts, the last of several."""
    return row.duplicate_predictions[-1] if row.duplicate_predictions else row.prediction


def score_choices(measure: Measure) -> Formula:
    """Pooled balanced accuracy of exact text."""

    def pair(row: Row) -> tuple[str | None, str]:
        answer = counted_prediction(row)
        return (None, "") if answer is None else (read_choice(row.target), read_choice(answer))

    return Formula("balanced-accuracy@exact,nocase,pooled", lambda rows: BalancedAccuracy.of(map(pair, rows)))


def score_labels(measure: Measure) -> Formula:
    """Micro F1 of labels."""

    def count(row: Row) -> tuple[int, int, int]:
        answer = counted_prediction(row)
        if answer is None:
            return _FREE
        target, predicted = read_labels(row.target), read_labels(answer)
        return len(target & predicted), len(predicted), len(target)

    return Formula("f1@split[;,],nocase,micro", lambda rows: MicroF1.of(map(count, rows)))


def score_boxes(measure: Measure) -> Formula:
    """Each true box in turn takes the free prediction that overlaps it most, if by more than the threshold."""

    def count(row: Row) -> tuple[int, int, int]:
        target, predicted = read_boxes(row.target), read_boxes(counted_prediction(row) or "")
        if target is None or predicted is None:
            return _FREE
        return match_by_target(target, predicted, measure.threshold), len(predicted), len(target)

    return Formula(f"f1@iou>{measure.threshold},greedy-by-truth,micro", lambda rows: MicroF1.of(map(count, rows)))


def score_instances(measure: Measure) -> Formula:
    """Boxes of one identity among themselves, the greatest overlap first, from the threshold on."""

    def count(row: Row) -> tuple[int, int, int]:
        target, predicted = read_instances(row.target), read_instances(counted_prediction(row) or "")
        if target is None or predicted is None:
            return _FREE
        one, other = labeled(target), labeled(predicted)
        return match_by_overlap(one, other, measure.threshold), len(other), len(one)

    how = f"f1@iou>={measure.threshold},per-identity,greedy-by-overlap,micro"
    return Formula(how, lambda rows: MicroF1.of(map(count, rows)))


def score_numbers(measure: Measure) -> Formula:
    """Absolute errors of bare numbers."""

    def error(row: Row) -> float:
        answer = counted_prediction(row)
        if answer is None:
            return nan
        target, predicted = read_number(row.target), read_number(answer)
        return inf if target is None or predicted is None else abs(target - predicted)

    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(map(error, rows)), measure.aggregation)

    return Formula(f"{SIGNATURE_NAMES[measure.aggregation]}@bare-number,unreadable=inf,pooled", statistic)


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
    exceptions={"label with a separator": "cuts such a label at its comma"},
)
