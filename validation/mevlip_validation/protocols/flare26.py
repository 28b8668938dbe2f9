"""FLARE 2026, by the rules of its MedGemma baseline.

It reads JSON where there is some, else folded text, labels by semicolon or comma, and boxes wherever numbers stand in
brackets; one group of them that is not a box empties its row. Rows of one task are pooled over all data sets,
detection and instance detection together. A missing prediction is an empty answer; of several answers to one question
the first counts; what is not a number is zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf, isnan, nan
from typing import Any

from mevlip.tasks import TaskType
from mevlip_validation.box_matching import Instances, Labeled, Numbers, match_by_overlap
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure
from mevlip_validation.metrics.numbers import SIGNATURE_NAMES
from mevlip_validation.protocols.base import KEPT, Formula, Protocol, Reader, Rows, text_of
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MicroF1, set_f1
from mevlip_validation.text_metrics import NO_LABEL, fold, split_labels

_GROUP = re.compile(r"\[([-+0-9eE.,\s]+)\]")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_CORNERS = ("x1", "y1", "x2", "y2")
_SIDES = ("x", "y", "width", "height")
_NAMES = ("label", "class", "category", "name")
_BOXES = ("bbox", "bboxes", "box", "boxes", "bounding_box", "bounding_boxes", "detections")
_NUMBERS = ("value", "count", "number", "prediction")
# The last three end the evaluator itself; here they make the answer unreadable.
_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)


def read_choice(value: Any) -> str:
    """Text, letter case and runs of blanks aside; a whole number without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return fold(text_of(value))


def read_labels(value: Any) -> frozenset[str]:
    """The items of a JSON list, the keys of an object that are true or those under `labels`, else a split text."""
    content = _content(value)
    while isinstance(content, dict) and "labels" in content:
        content = _content(content["labels"])
    if isinstance(content, dict):
        content = [name for name, chosen in content.items() if chosen]
    if isinstance(content, list):
        return frozenset(label for item in content if (label := read_choice(item)) not in NO_LABEL)
    return frozenset() if content is None else split_labels(text_of(content))


def read_boxes(value: Any) -> list[Numbers]:
    """Every box, whatever its identity."""
    return [box for _, box in read_labeled(value)]


def read_instances(value: Any) -> Instances:
    """Every box by its identity."""
    found: Instances = {}
    for name, box in read_labeled(value):
        found.setdefault(name, []).append(box)
    return found


def read_labeled(value: Any) -> list[Labeled]:
    """Every box with its identity in lower case, empty where it has none; none where a part cannot be read."""
    try:
        return _boxes_of_answer(value)
    except _UNREADABLE:
        return []


def read_number(value: Any) -> float:
    """A number as `find_number` finds it, else zero."""
    found = find_number(value)
    return 0.0 if found is None else found


def find_number(value: Any) -> float | None:
    """A number, one in a list or an object, else the first of the text without commas and exponents."""
    try:
        return _number(value)
    except _UNREADABLE:
        return None


def score_choices(measure: Measure) -> Formula:
    """Pooled balanced accuracy of exact text, letter case and runs of blanks aside."""

    def statistic(rows: Rows) -> BalancedAccuracy:
        return BalancedAccuracy.of((read_choice(row.truth), read_choice(row.answer)) for row in rows)

    return Formula("balanced-accuracy@exact,nocase,pooled", statistic)


def score_labels(measure: Measure) -> Formula:
    """The mean of each row's own F1; two empty sets agree."""

    def f1(row: Row) -> float:
        return set_f1(read_labels(row.truth), read_labels(row.answer))

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
        target = find_number(row.truth)
        if target is None:
            return nan
        error = abs(target - read_number(row.answer))
        # The evaluator's mean becomes NaN, which looks as if nothing were scored.
        return inf if isnan(error) and not isnan(target) else error

    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(map(error, rows)), measure.aggregation)

    return Formula(f"{SIGNATURE_NAMES[measure.aggregation]}@first-number,unreadable=0,pooled", statistic)


def _box_f1(threshold: float) -> tuple[str, Callable[[Rows], MicroF1]]:
    """The greatest overlap first, from the threshold on; identities are compared where both boxes have one.

    Of equal overlaps the last boxes' comes first. Nothing found where there is nothing to find is right.
    """

    def count(row: Row) -> tuple[int, int, int] | None:
        try:
            target = _boxes_of_answer(row.truth)[::-1]
        except _UNREADABLE:
            return None
        predicted = read_labeled(row.answer)[::-1]
        return match_by_overlap(target, predicted, threshold), len(predicted), len(target)

    how = f"f1@iou>={threshold},identity-if-both,greedy-by-overlap,micro"
    return how, lambda rows: MicroF1.of(map(count, rows), of_nothing=1.0)


def _content(value: Any) -> Any:
    """What a text that begins like a JSON list or object says, if it is one; another value is what it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value.strip())
        except (ValueError, RecursionError):
            return value
    return value


def _number(value: Any) -> float:
    """See `read_number`.

    Raises:
        ValueError: There is none.
    """
    content = _content(value)
    if isinstance(content, bool):
        raise ValueError("is true or false")
    if isinstance(content, int | float):
        return float(content)
    if isinstance(content, list):
        [content] = content
        return _number(content)
    if isinstance(content, dict):
        for name in _NUMBERS:
            if name in content:
                return _number(content[name])
    match = _NUMBER.search(str(content).replace(",", ""))
    if match is None:
        raise ValueError("has no number")
    return float(match[0])


def _boxes_of_answer(value: Any) -> list[Labeled]:
    # Each threshold reads the same texts again; nothing changes what was read.
    return _boxes_of_string(value) if isinstance(value, str) else _boxes(value)


@lru_cache(KEPT)
def _boxes_of_string(text: str) -> list[Labeled]:
    return _boxes(text)


def _boxes(value: Any) -> list[Labeled]:
    """See `read_labeled`.

    Raises:
        ValueError: A part of it is not a box.
    """
    content = _content(value)
    if content is None:
        return []
    if isinstance(content, str):
        return _boxes_of_text(content)
    if isinstance(content, dict):
        return _boxes_of_object(content)
    if not isinstance(content, list):
        raise ValueError("is neither a list nor an object")
    if len(content) == 4 and all(isinstance(item, int | float) for item in content):
        return [("", _floats(content))]
    return [box for item in content for box in _boxes(item)]


def _boxes_of_text(text: str) -> list[Labeled]:
    if fold(text) in NO_LABEL:
        return []
    groups = [[part for part in group.split(",") if part.strip()] for group in _GROUP.findall(text)]
    if not groups or any(len(group) != 4 for group in groups):
        raise ValueError("has brackets around other than four numbers, or none")
    return [("", _floats(group)) for group in groups]


def _boxes_of_object(content: Mapping[str, Any]) -> list[Labeled]:
    own = next((read_choice(content[name]) for name in _NAMES if name in content), "")
    if all(name in content for name in _CORNERS):
        return [(own, _floats([content[name] for name in _CORNERS]))]
    if all(name in content for name in _SIDES):
        x, y, width, height = _floats([content[name] for name in _SIDES])
        return [(own, (x, y, x + width, y + height))]
    for name in _BOXES:
        if name in content:
            return [(label or own, box) for label, box in _boxes(content[name])]
    return [(label or read_choice(name), box) for name, inner in content.items() for label, box in _boxes(inner)]


def _floats(values: list[Any]) -> Numbers:
    return tuple(float(value) for value in values)


PROTOCOL = Protocol(
    "flare26",
    "FLARE 2026 baseline MedGemma",
    Reader(read_choice, read_labels, read_boxes, read_instances, read_number, read_number),
    scorers={
        TaskType.CLASSIFICATION: score_choices,
        TaskType.MULTI_LABEL: score_labels,
        TaskType.DETECTION: score_boxes,
        TaskType.INSTANCE_DETECTION: score_instances,
        TaskType.COUNTING: score_numbers,
        TaskType.REGRESSION: score_numbers,
    },
    judges=("CRIMSON",),
    version=2,
    exceptions={
        "label with a separator": "cuts such a label at its comma where no semicolon stands beside it",
        "label that means nothing": "takes `None` and the like for no label",
    },
)
