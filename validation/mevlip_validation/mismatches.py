"""Why predictions do not match the truth: another order, other blanks, other folders, or no answers at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mevlip.core.errors import InputError, OutputError
from mevlip.core.text import visible
from mevlip.tasks import parse_task_type

Record = dict[str, Any]
Key = tuple[str, str]

_SHOWN = 60  # characters of a field in a message


def check_answers(predictions: Sequence[Record], file: str) -> None:
    """Refuses a file that answers nothing, such as a question file.

    Raises:
        InputError: No record has an Answer.
    """
    if predictions and all(record.get("Answer") in (None, "") for record in predictions):
        raise InputError(
            f"None of the {len(predictions)} records of {file} has an Answer",
            "Name the predictions.json that a run wrote, not the questions.",
        )


def check_positions(truths: Sequence[tuple[str, Record]], predictions: Sequence[Record]) -> None:
    """Refuses to match by position where the records at one position are of other questions.

    Args:
        truths: Place and record of each truth.
        predictions: Predicted records.

    Raises:
        OutputError: TaskType, Modality or ImageName of some records disagree.
    """
    found = [
        (number, place, fields)
        for number, ((place, truth), record) in enumerate(zip(truths, predictions, strict=False))
        if (fields := [name for name in _COMPARED if _disagree(name, truth, record)])
    ]
    if not found:
        return
    number, place, [name, *_] = found[0]
    own, other = (visible(str(one.get(name)), _SHOWN) for one in (predictions[number], truths[number][1]))
    raise OutputError(
        f"{len(found)} of {len(predictions)} predictions stand beside another question: [{number}] has {name} {own!r}, "
        f"but {place} has {other!r}",
        "Leave out --match position, or put the predictions in the order of the truth.",
    )


def explain(missing: Iterable[Record], surplus: Iterable[Record]) -> tuple[str, ...]:
    """What keeps questions without a prediction and predictions without a question apart, if it is small.

    Args:
        missing: Truths without a prediction.
        surplus: Predictions that answer no truth.

    Returns:
        A sentence for each kind of difference.
    """
    absent, left = list(missing), list(surplus)
    found = []
    for what, key in _SMALL.items():
        common = Counter(map(key, absent)) & Counter(map(key, left))
        if common:
            found.append(f"{common.total()} of them differ only {what}")
            absent = [record for record in absent if key(record) not in common]
            left = [record for record in left if key(record) not in common]
    return tuple(found)


_COMPARED = ("TaskType", "Modality", "ImageName")


def _disagree(name: str, truth: Record, record: Record) -> bool:
    """Whether two records name a field differently; a field that one of them leaves empty says nothing."""
    one, other = truth.get(name), record.get(name)
    if not one or not other:
        return False
    if name == "ImageName":
        return _images(truth) != _images(record)
    if name == "TaskType" and parse_task_type(one) is not None:
        return parse_task_type(one) != parse_task_type(other)
    return str(one).casefold() != str(other).casefold()


def _images(record: Record) -> str:
    return json.dumps(record.get("ImageName"))


def _names(record: Record) -> str:
    """Image names without their folders; a list of one is that one."""
    value = record.get("ImageName")
    names = value if isinstance(value, list) else [value]
    return json.dumps([str(name).replace("\\", "/").rsplit("/", 1)[-1] for name in names])


def _words(record: Record) -> str:
    return " ".join(str(record.get("Question")).split()).casefold()


def _but_for_words(record: Record) -> Key:
    return _images(record), _words(record)


def _but_for_folders(record: Record) -> Key:
    return _names(record), str(record.get("Question"))


def _but_for_both(record: Record) -> Key:
    return _names(record), _words(record)


_SMALL: dict[str, Callable[[Record], Key]] = {
    "in blanks or letter case of the question": _but_for_words,
    "in the folders of ImageName": _but_for_folders,
    "in the folders of ImageName and in blanks or letter case of the question": _but_for_both,
}
"""Differences that a file should not have, with what is the same in spite of them."""
