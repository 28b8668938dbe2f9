"""FLARE 2026, by the rules of its MedGemma baseline.

It reads folded text, labels by semicolon or comma, and boxes wherever four numbers stand. Rows of one task are pooled
over all data sets, detection and instance detection together. A missing prediction is an empty answer; of several
answers to one question the first counts; what is not a number is zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from mevlip.tasks import TaskType
from mevlip_validation.box_matching import Instances, Numbers, labeled, match_by_overlap
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure
from mevlip_validation.metrics.numbers import SIGNATURE_NAMES
from mevlip_validation.protocols.base import Formula, Protocol, Reader, Rows, as_box
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MicroF1, set_f1
from mevlip_validation.text_metrics import fold, split_labels

_GROUP = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"```(?:\w+)?|```")


def read_boxes(text: str) -> list[Numbers]:
    """Every box, whatever its identity."""
    return [box for _, box in _pairs(text)]


def read_instances(text: str) -> Instances:
    """Every box by its identity."""
    found: Instances = {}
    for identity, box in _pairs(text):
        found.setdefault(identity, []).append(box)
    return found


def read_number(text: str) -> float:
    """The first number without thousands commas; nothing is zero."""
    match = _NUMBER.search(text.replace(",", ""))
    return float(match[0]) if match else 0.0


def score_choices(measure: Measure) -> Formula:
    """Pooled balanced accuracy of exact text, letter case and runs of blanks aside."""

    def statistic(rows: Rows) -> BalancedAccuracy:
        return BalancedAccuracy.of((fold(row.target), fold(row.prediction or "")) for row in rows)

    return Formula("balanced-accuracy@exact,nocase,pooled", statistic)


def score_labels(measure: Measure) -> Formula:
    """The mean of each row's own F1; two empty sets agree."""

    def f1(row: Row) -> float:
        return set_f1(split_labels(row.target), split_labels(row.prediction or ""))

    return Formula("f1@split[;]or[,],nocase,mean-of-rows", lambda rows: Aggregate(tuple(map(f1, rows))))


def score_boxes(measure: Measure) -> Formula:
    """F1 of boxes; the rows of instance detection are pooled with those of detection."""
    how, statistic = _box_f1(measure.threshold)
    return Formula(f"{how},with-instances", statistic, frozenset({TaskType.INSTANCE_DETECTION}))


def score_instances(measure: Measure) -> Formula:
    """F1 of boxes."""
    return Formula(*_box_f1(measure.threshold))


def score_numbers(measure: Measure) -> Formula:
    """Absolute errors of the first numbers."""

    def error(row: Row) -> float:
        return abs(read_number(row.target) - read_number(row.prediction or ""))

    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(map(error, rows)), measure.aggregation)

    return Formula(f"{SIGNATURE_NAMES[measure.aggregation]}@first-number,unreadable=0,pooled", statistic)


def _box_f1(threshold: float) -> tuple[str, Callable[[Rows], MicroF1]]:
    """The greatest overlap first, from the threshold on; identities are compared where both boxes have one."""

    def count(row: Row) -> tuple[int, int, int]:
        target, predicted = (labeled(read_instances(text)) for text in (row.target, row.prediction or ""))
        return match_by_overlap(target, predicted, threshold), len(predicted), len(target)

    return f"f1@iou>={threshold},identity-if-both,greedy-by-overlap,micro", lambda rows: MicroF1.of(map(count, rows))


def _pairs(text: str) -> list[tuple[str, Numbers]]:
    """Every box with its identity: from JSON, else from every group of four numbers in brackets, without one."""
    plain = _FENCE.sub("", text).strip()
    try:
        return list(_walk(json.loads(plain), ""))
    except (ValueError, RecursionError):
        groups = ([float(n) for n in _NUMBER.findall(group)] for group in _GROUP.findall(plain))
        return [("", tuple(group)) for group in groups if len(group) == 4]


def _walk(content: Any, identity: str) -> Iterator[tuple[str, Numbers]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _walk(value, str(key))
    elif isinstance(content, list):
        if len(content) == 4 and (box := as_box(content)):
            yield identity, box
            return
        for item in content:
            yield from _walk(item, identity)


PROTOCOL = Protocol(
    "flare26",
    "FLARE 2026 baseline MedGemma",
    Reader(fold, split_labels, read_boxes, read_instances, read_number, read_number),
    scorers={
        TaskType.CLASSIFICATION: score_choices,
        TaskType.MULTI_LABEL: score_labels,
        TaskType.DETECTION: score_boxes,
        TaskType.INSTANCE_DETECTION: score_instances,
        TaskType.COUNTING: score_numbers,
        TaskType.REGRESSION: score_numbers,
    },
    judges=("CRIMSON",),
    exceptions={
        "label with a separator": "cuts such a label at its comma where no semicolon stands beside it",
        "label that means nothing": "takes `None` and the like for no label",
    },
)
