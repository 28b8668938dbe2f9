"""FLARE 2026's public evaluator, the MedGemma baseline's, as an oracle: one split, IoU 0.5, missing answers allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from benchmarks.evaluators import Undefined

T = TypeVar("T")
Record = dict[str, Any]
Pairs = list[tuple[Any, Any]]
"""True and predicted answers of one task, any JSON values."""


class Box(NamedTuple):
    """Corners, and whose box it is; an empty label fits every other."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""


def score(truth: Sequence[Record], predictions: Sequence[Record]) -> dict[str, float]:
    """Scores a predictions file; a truth's uid is its place, its prediction the first that no truth before it took.

    Args:
        truth: Records of all question files, in the order in which they are read.
        predictions: Records of the predictions file.

    Returns:
        The score of each TaskType, as the records spell it; none for a task that is not scored, and for reports.

    Raises:
        Undefined: The evaluator stops with an error, or its score depends on whether the data set was stored as JSON
            lines, which keep JSON values, or as columns of text.
    """
    waiting = list(predictions)
    rows: list[tuple[Record, Any]] = []
    for record in truth:
        mine = next((place for place, one in enumerate(waiting) if _key(one) == _key(record)), None)
        rows.append((record, "" if mine is None else waiting.pop(mine).get("Answer")))
    scores = _score_rows([(_group(record), record.get("Answer"), answer) for record, answer in rows])
    as_text = _score_rows([(_group(record), _column(record.get("Answer")), answer) for record, answer in rows])
    if repr(scores) != repr(as_text):  # repr, because NaN differs from itself
        raise Undefined("the score depends on how the data set was stored")
    return {record["TaskType"]: scores[_group(record)] for record in truth if _group(record) in scores}


def _key(record: Record) -> tuple[Any, Any]:
    return record.get("ImageName"), record.get("Question")


def _group(record: Record) -> str:
    """The task under which a row is scored."""
    spelling = " ".join(re.split(r"[\s_-]+", str(record.get("TaskType", "")).lower().strip()))
    return _GROUPS.get(spelling, "")


def _column(answer: Any) -> Any:
    """An answer as a column of text holds it."""
    if answer is None or isinstance(answer, str):
        return answer
    return json.dumps(answer, ensure_ascii=False) if isinstance(answer, list | dict) else str(answer)


def _score_rows(rows: Sequence[tuple[str, Any, Any]]) -> dict[str, float]:
    by_group: dict[str, Pairs] = {}
    for group, target, answer in rows:
        if group and _is_answered(target):
            by_group.setdefault(group, []).append((target, answer))
    return {group: _MEASURES[group](pairs) for group, pairs in sorted(by_group.items())}


def _is_answered(target: Any) -> bool:
    """Rows without a true answer are left out; an empty list is none, an empty object is one."""
    text = "; ".join(map(str, target)) if isinstance(target, list) else str(target)
    return target is not None and text.strip() != ""


def _plain(value: Any) -> str:
    """A value as it is compared: lower case, runs of blanks as one, whole floats without their point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split()).lower()


def _decode(value: Any) -> Any:
    """A text that starts as a JSON list or object does is one, where it can be read as such."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value.strip())
        except json.JSONDecodeError:
            pass
    return value


def _is_nothing(value: Any) -> bool:
    return _plain(value) in ("", "none", "no finding", "no findings", "n/a", "na", "null", "[]")


def _balanced_accuracy(pairs: Pairs) -> float:
    seen: dict[str, list[bool]] = {}
    for target, answer in pairs:
        seen.setdefault(_plain(target), []).append(_plain(target) == _plain(answer))
    recalls = [sum(seen[name]) / len(seen[name]) for name in sorted(seen)]
    return sum(recalls) / len(recalls)


def _label_f1(pairs: Pairs) -> float:
    """The mean F1 of the rows; nothing to find and nothing found is 1."""
    scores = []
    for target, answer in pairs:
        wanted, given = _must(_labels, target), _must(_labels, answer)
        scores.append(2 * len(wanted & given) / (len(wanted) + len(given)) if wanted or given else 1.0)
    return sum(scores) / len(scores)


def _labels(value: Any) -> set[str]:
    value = _decode(value)
    if isinstance(value, dict) and "labels" in value:
        return _labels(value["labels"])
    if isinstance(value, dict):
        found = [name for name, is_set in value.items() if is_set]
    elif isinstance(value, list):
        found = value
    elif _is_nothing(value if value is None else str(value)):
        found = []
    else:
        marks = r"[;|\n]" if re.search(r"[;|\n]", str(value).strip()) else ","
        found = re.split(marks, str(value).strip())
    return {_plain(name) for name in found if not _is_nothing(name)}


def _absolute_error(pairs: Pairs) -> float:
    """The mean absolute error; a prediction that is not a number is 0."""
    errors = []
    for target, answer in pairs:
        wanted, given = _must(_number, target), _try(_number, answer)
        errors.append(abs(wanted - (0.0 if given is None else given)))
    return sum(errors) / len(errors)


def _number(value: Any) -> float:
    """The first number of a text, without exponent.

    Raises:
        ValueError: There is none, or it is one of several.
    """
    value = _decode(value)
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        (value,) = value
        return _number(value)
    if isinstance(value, dict):
        for field in ("value", "count", "number", "prediction"):
            if field in value:
                return _number(value[field])
    found = re.findall(r"[-+]?\d+(?:\.\d+)?", str(value).replace(",", ""))
    if not found:
        raise ValueError("no number")
    return float(found[0])


def _box_f1(pairs: Pairs) -> float:
    """F1 of counts added up over all rows; nothing to find and nothing found is 1."""
    hits = boxes = 0
    for target, answer in pairs:
        wanted, given = _must(_boxes, target), _try(_boxes, answer) or []
        hits += _hits(wanted, given)
        boxes += len(wanted) + len(given)
    return 2 * hits / boxes if boxes else 1.0


def _hits(wanted: Sequence[Box], given: Sequence[Box]) -> int:
    """Pairs are taken by falling overlap from 0.5 on, the last of equals."""
    pairs = []
    for i, box in enumerate(wanted):
        for j, one in enumerate(given):
            fits = not (box.label and one.label) or box.label == one.label
            overlap = _overlap(box, one)
            if fits and overlap >= 0.5:
                pairs.append((overlap, i, j))
    used: set[tuple[str, int]] = set()
    for _, i, j in sorted(pairs, reverse=True):
        if not used & {("wanted", i), ("given", j)}:
            used |= {("wanted", i), ("given", j)}
    return len(used) // 2


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union; 0 for inverted and for empty boxes."""
    shared = _area(
        max(one.left, other.left), max(one.top, other.top), min(one.right, other.right), min(one.bottom, other.bottom)
    )
    if shared <= 0:
        return 0.0
    union = _area(*one[:4]) + _area(*other[:4]) - shared
    return 0.0 if union <= 0 else shared / union


def _area(left: float, top: float, right: float, bottom: float) -> float:
    return max(0.0, right - left) * max(0.0, bottom - top)


_LABEL_FIELDS = ("label", "class", "category", "name")
_BOX_FIELDS = ("bbox", "bboxes", "box", "boxes", "bounding_box", "bounding_boxes", "detections")


def _boxes(value: Any) -> list[Box]:
    """Every box of an answer.

    Raises:
        ValueError: Something in it is not a box.
        TypeError: A corner is neither a number nor a text; the evaluator stops there.
        OverflowError: A corner is beyond the range of floats; the evaluator stops there.
    """
    value = _decode(value)
    if value is None:
        return []
    if isinstance(value, str):
        return [] if _is_nothing(value) else _boxes_in_text(value)
    if isinstance(value, dict):
        return _boxes_of_object(value)
    if not isinstance(value, list):
        raise ValueError("neither boxes nor a list of them")
    if len(value) == 4 and all(isinstance(item, int | float) for item in value):
        return [_box(value)]
    return [box for item in value for box in _boxes(item)]


def _boxes_in_text(text: str) -> list[Box]:
    """The groups in brackets that hold nothing but numbers; one bad group spoils them all."""
    groups = re.findall(r"\[\s*([-+0-9eE.,\s]+)\]", text)
    if not groups:
        raise ValueError("no group in brackets")
    return [_box([part for part in group.split(",") if part.strip()]) for group in groups]


def _boxes_of_object(value: Mapping[str, Any]) -> list[Box]:
    label = next((value[field] for field in _LABEL_FIELDS if field in value), None)
    if {"x1", "y1", "x2", "y2"} <= value.keys():
        return [_box([value[field] for field in ("x1", "y1", "x2", "y2")], label)]
    if {"x", "y", "width", "height"} <= value.keys():
        left, top, width, height = _box([value[field] for field in ("x", "y", "width", "height")])[:4]
        return [Box(left, top, left + width, top + height, _plain(label))]
    for field in _BOX_FIELDS:
        if field in value:
            return [_named(box, label) for box in _boxes(value[field])]
    return [_named(box, name) for name, item in value.items() for box in _boxes(item)]


def _box(corners: Sequence[Any], label: Any = None) -> Box:
    if len(corners) != 4:
        raise ValueError("not four numbers")
    left, top, right, bottom = map(float, corners)
    return Box(left, top, right, bottom, _plain(label))


def _named(box: Box, label: Any) -> Box:
    return box._replace(label=box.label or _plain(label))


def _must(read: Callable[[Any], T], value: Any) -> T:
    """Reads what the evaluator reads unguarded."""
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Undefined(f"{type(error).__name__} in an answer that is read unguarded") from error


def _try(read: Callable[[Any], T], value: Any) -> T | None:
    """Reads a prediction; None if the evaluator cannot read it."""
    try:
        return read(value)
    except ValueError:
        return None
    except (TypeError, OverflowError, RecursionError) as error:
        raise Undefined(f"{type(error).__name__} in a prediction") from error


_MEASURES: dict[str, Callable[[Pairs], float]] = {
    "boxes": _box_f1,
    "choices": _balanced_accuracy,
    "counts": _absolute_error,
    "labels": _label_f1,
    "numbers": _absolute_error,
}
_GROUPS = {
    "classification": "choices",
    "multi label classification": "labels",
    "detection": "boxes",
    "instance detection": "boxes",  # scored together with detection
    "counting": "counts",
    "cell counting": "counts",
    "regression": "numbers",
}
