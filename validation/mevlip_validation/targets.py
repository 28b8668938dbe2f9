"""The text that a model is trained to say for a true answer; `mevlip.answers` reads it back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, TypeVar

from mevlip.answers import QuestionSpec
from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip.answers.report import Report
from mevlip.core.text import one_line
from mevlip.flare.ground_truth import has_answer
from mevlip.flare.issues import IssueCode
from mevlip.tasks import TASKS, TaskType

_SEVERAL_LETTERS = re.compile(r"[A-Z](?:[\s,;]+[A-Z])+")

# Half of a tenth is far below the smallest mean error that anyone has published (more than 6 units), while fifteen
# digits of noise would be learned by heart or not at all.
_DECIMALS = Decimal("0.1")
_TOO_MUCH = 10**6  # for the answer classes, too

_Answer = TypeVar("_Answer", bound=TypedAnswer)


class TargetError(ValueError):
    """An answer that nobody can be taught to give.

    Attributes:
        code: What is wrong with it.
    """

    def __init__(self, code: IssueCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def write_target(task: TaskType, answer: Any, spec: QuestionSpec) -> str:
    """Writes the text that a model should say.

    Args:
        task: The question's task.
        answer: The Answer field as found: a string, or the JSON value of a number, of labels or of boxes, which are in
            pixels of the first image.
        spec: The form that the model's text is parsed under; boxes are written in its box space, for which
            thousandths need its image size.

    Returns:
        One line that `mevlip.answers` parses, under the same form, into the true answer: boxes within a thousandth
        of the image's side, measurements within 0.05. Where a classification question lists no options there is nothing
        to check its answer against, so that it is taken as it is.

    Raises:
        TargetError: The answer is empty, does not fit the question, or cannot be parsed.
    """
    if not has_answer(answer):
        raise TargetError(IssueCode.EMPTY_ANSWER, "the Answer field says nothing")
    return WRITERS[TASKS[task].answer](answer, spec)


def read_boxes(answer: Any) -> list[Any] | dict[str, list[Any]]:
    """Boxes as found, nested even where a single one was given flat.

    Args:
        answer: JSON text or its value: a box, a list of boxes, or an object of either by identity.

    Raises:
        TargetError: It is none of these.
    """
    try:
        content = json.loads(answer) if isinstance(answer, str) else answer
    except (ValueError, RecursionError) as error:
        raise TargetError(IssueCode.UNPARSABLE_BOXES, "the answer is not valid JSON") from error
    if isinstance(content, dict):
        return {str(identity): _nested(boxes) for identity, boxes in content.items()}
    return _nested(content)


def has_area(box: Any, size: tuple[int, int] | None) -> bool:
    """Whether something of a box is left in whole pixels within the image; without any, no prediction can match it."""
    try:
        Boxes.parse(json.dumps([box]), QuestionSpec("", size, "pixel"))
    except Unparsable:
        return False
    return True


def read_number(answer: Any, code: IssueCode) -> Decimal:
    """A number as found, in digits or as a JSON value.

    Raises:
        TargetError: It is not a number of at most six digits; with the code given.
    """
    try:
        number = Decimal("" if isinstance(answer, bool) else str(answer).strip())
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or not -_TOO_MUCH < number < _TOO_MUCH:
        raise TargetError(code, f"{answer!r} is not a number below a million")
    return number


def _write_choice(answer: Any, spec: QuestionSpec) -> str:
    text = _line(answer)
    if spec.options and _SEVERAL_LETTERS.fullmatch(text):
        raise TargetError(IssueCode.SEVERAL_LETTERS, f"{text!r} where one option is asked for")
    if spec.options or spec.labels:
        letters = {option: letter for letter, option in spec.options.items()}
        text = one_line(text)  # as the question's options are
        return _parse(Choice, letters.get(text, text), spec, IssueCode.UNLISTED_OPTION).format()
    if not text.isprintable():
        raise TargetError(IssueCode.NOT_TEXT, "the answer holds control characters")
    return text


def _write_labels(answer: Any, spec: QuestionSpec) -> str:
    text = spec.separator.join(map(_line, answer)) if isinstance(answer, list) else _line(answer)
    return _parse(LabelSet, one_line(text), spec, IssueCode.UNLISTED_LABEL).format()


def _write_boxes(answer: Any, spec: QuestionSpec) -> str:
    return _compact([_in_space(box, spec) for box in _parse_boxes(Boxes, read_boxes(answer), spec).boxes])


def _write_instances(answer: Any, spec: QuestionSpec) -> str:
    instances = _parse_boxes(InstanceBoxes, read_boxes(answer), spec).instances
    return _compact({identity: [_in_space(box, spec) for box in boxes] for identity, boxes in instances})


def _write_count(answer: Any, spec: QuestionSpec) -> str:
    number = read_number(answer, IssueCode.UNPARSABLE_COUNT)
    if number < 0 or number != number.to_integral_value():
        raise TargetError(IssueCode.IMPOSSIBLE_COUNT, f"{answer!r} is not a whole number from 0")
    return _parse(Count, str(int(number)), spec, IssueCode.IMPOSSIBLE_COUNT).format()


def _write_measurement(answer: Any, spec: QuestionSpec) -> str:
    rounded = (
        read_number(answer, IssueCode.UNPARSABLE_MEASUREMENT).quantize(_DECIMALS) + 0
    )  # the sum turns -0.0 into 0.0
    text = f"{rounded:f}"
    _parse(Measurement, text, spec, IssueCode.UNPARSABLE_MEASUREMENT)
    return text


def _write_report(answer: Any, spec: QuestionSpec) -> str:
    return _parse(Report, one_line(_line(answer)), spec, IssueCode.NOT_TEXT).format()


WRITERS: MappingProxyType[type[TypedAnswer], Callable[[Any, QuestionSpec], str]] = MappingProxyType(
    {
        Choice: _write_choice,
        LabelSet: _write_labels,
        Boxes: _write_boxes,
        InstanceBoxes: _write_instances,
        Count: _write_count,
        Measurement: _write_measurement,
        Report: _write_report,
    }
)
"""How each type of answer is taught; a new task of a known type needs nothing here."""


def _parse(answer_class: type[_Answer], text: str, spec: QuestionSpec, code: IssueCode) -> _Answer:
    """Reads a text as prediction will; what that refuses is not worth teaching."""
    try:
        return answer_class.parse(text, spec)
    except Unparsable as error:
        raise TargetError(code, f"{text!r} {error}") from error


def _parse_boxes(answer_class: type[_Answer], found: list[Any] | dict[str, list[Any]], spec: QuestionSpec) -> _Answer:
    """Boxes in whole pixels, clamped to the image; those that have no area there are dropped, but not all of them."""
    right_shape = isinstance(found, dict) == (answer_class is InstanceBoxes)
    well_formed = right_shape and all(map(_is_box, flat_boxes(found)))
    if well_formed:
        kept = _with_area(found, spec.image_size)
        found = kept if flat_boxes(kept) else found
    # Of well-formed boxes only the area, or their being repeated, can be wrong.
    code = IssueCode.ZERO_AREA if well_formed else IssueCode.UNPARSABLE_BOXES
    return _parse(answer_class, json.dumps(found), replace(spec, box_space="pixel"), code)


def flat_boxes(found: list[Any] | dict[str, list[Any]]) -> list[Any]:
    """All boxes that `read_boxes` gave, without their identities."""
    return [box for boxes in found.values() for box in boxes] if isinstance(found, dict) else found


def _with_area(found: list[Any] | dict[str, list[Any]], size: tuple[int, int] | None) -> Any:
    """The boxes that have an area, and the identities that have such a box, or that had none."""
    if not isinstance(found, dict):
        return [box for box in found if has_area(box, size)]
    kept = {identity: _with_area(boxes, size) for identity, boxes in found.items()}
    return {identity: boxes for identity, boxes in kept.items() if boxes or not found[identity]}


def _nested(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TargetError(IssueCode.UNPARSABLE_BOXES, "the answer holds something else than lists of boxes")
    return [content] if _is_box(content) else content


def _is_box(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 4 and all(map(_is_coordinate, item))


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _TOO_MUCH


def _in_space(box: Box, spec: QuestionSpec) -> list[int]:
    if spec.box_space == "pixel":
        return list(box)
    if spec.image_size is None:
        raise TargetError(IssueCode.UNREADABLE_IMAGE, "thousandths of an image whose size is unknown")
    width, height = spec.image_size
    x_min, x_max = _thousandths(box.x_min, box.x_max, width)
    y_min, y_max = _thousandths(box.y_min, box.y_max, height)
    return [x_min, y_min, x_max, y_max]


def _thousandths(low: int, high: int, size: int) -> tuple[int, int]:
    """Both ends of a side, rounded; outward where rounding would leave nothing between them."""
    start, end = low * 1000 / size, high * 1000 / size
    if round(start) < round(end):
        return round(start), round(end)
    return math.floor(start), math.ceil(end)


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _line(answer: Any) -> str:
    """A text on one line with blanks collapsed."""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise TargetError(IssueCode.NOT_TEXT, f"a {type(answer).__name__} where a text is expected")
    return " ".join(str(answer).split())
