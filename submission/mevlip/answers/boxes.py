"""Bounding boxes: a list of them, or lists by instance id."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.box_texts import boxes_by_identity, is_wrapper, repaired_boxes
from mevlip.answers.grammar import Grammar, Lark, up_to
from mevlip.answers.question_spec import QuestionSpec

_MOST_BOXES = 1000
_FAR = 99_999
"""The greatest coordinate where the image's size is unknown."""

_Found = Iterable[tuple[str, list[float]]]


class Box(NamedTuple):
    """Corners in whole pixels of the original image, `x_min < x_max` and `y_min < y_max`."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


class _BoxAnswer(TypedAnswer):
    """What both kinds of box answers read alike."""

    @classmethod
    @abstractmethod
    def _of(cls, found: _Found, spec: QuestionSpec) -> Self:
        """Makes an answer of identities and numbers, in the question's box space."""

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts flat boxes, boxes as objects, Python's notation, cut-off text and four numbers in a sentence."""
        return cls._of(boxes_by_identity(text), spec)

    @classmethod
    def repair(cls, text: str, spec: QuestionSpec) -> Self:
        """Repairs broken JSON."""
        return cls._of(repaired_boxes(text), spec)


@dataclass(frozen=True)
class Boxes(_BoxAnswer):
    """Boxes of one kind of thing; none where the model says so."""

    boxes: tuple[Box, ...]

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a JSON list of four-number lists, in the question's box space."""
        return cls(_read_boxes(_read_json(text), spec))

    @classmethod
    def _of(cls, found: _Found, spec: QuestionSpec) -> Self:
        boxes = _fitted(found, spec)
        if not boxes:
            raise Unparsable("has no box with an area inside the image")
        return cls(tuple(dict.fromkeys(box for _, box in boxes)))

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """The middle half of the image, where most lesions lie."""
        if spec.image_size is None:
            return None
        width, height = spec.image_size
        box = Box(width // 4, height // 4, max(width * 3 // 4, width // 4 + 1), max(height * 3 // 4, height // 4 + 1))
        return cls((box,))

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """Nested boxes of whole numbers within the frame."""
        return Lark(f'start: "[]" | "[" box (COMMA box){{0,31}} "]"\n{_box_rules(spec)}')

    def format(self) -> str:
        """A nested list, nested even for one box."""
        return json.dumps(self.boxes)


@dataclass(frozen=True)
class InstanceBoxes(_BoxAnswer):
    """Boxes by identity, such as chromosome number."""

    instances: tuple[tuple[str, tuple[Box, ...]], ...]

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a JSON object of identities, each with a list of four-number lists."""
        content = _read_json(text)
        if not isinstance(content, dict):
            raise Unparsable("is not a JSON object")
        if any(map(is_wrapper, content)):
            raise Unparsable("has a key such as boxes where an identity stands")
        return cls(tuple((identity, _read_boxes(boxes, spec)) for identity, boxes in content.items()))

    @classmethod
    def _of(cls, found: _Found, spec: QuestionSpec) -> Self:
        instances: dict[str, dict[Box, None]] = {}
        for identity, box in _fitted(found, spec):
            if identity:
                instances.setdefault(identity, {})[box] = None
        if not instances:
            raise Unparsable("has no identity with a box inside the image")
        return cls(tuple((identity, tuple(boxes)) for identity, boxes in instances.items()))

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """No instances."""
        return cls(())

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """An object of numbers, X or Y, each with nested boxes of whole numbers within the frame."""
        return Lark(
            f'start: "{{}}" | "{{" entry (COMMA entry){{0,63}} "}}"\n'
            f'entry: KEY COLON "[" box (COMMA box){{0,15}} "]"\n'
            f'KEY: /"([1-9][0-9]?|X|Y)"/\nCOLON: /: ?/\n{_box_rules(spec)}'
        )

    def format(self) -> str:
        """A strict JSON object, identities in the given order."""
        return json.dumps(dict(self.instances))


def _frame(spec: QuestionSpec) -> tuple[int, int] | None:
    """Greatest x and y in a model's text; None where the image is unknown and so has no bounds."""
    return (1000, 1000) if spec.box_space == "norm1000" else spec.image_size


def _box_rules(spec: QuestionSpec) -> str:
    across, down = (up_to(most) for most in _frame(spec) or (_FAR, _FAR))
    return f'box: "[" X COMMA Y COMMA X COMMA Y "]"\nCOMMA: /, ?/\nX: /{across}/\nY: /{down}/'


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise Unparsable("is not valid JSON") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("an identity that comes twice")
    return dict(pairs)


def _read_boxes(content: Any, spec: QuestionSpec) -> tuple[Box, ...]:
    if not isinstance(content, list):
        raise Unparsable("is not a list of boxes")
    boxes = tuple(_read_box(item, spec) for item in content)
    if len(set(boxes)) < len(boxes):
        raise Unparsable("repeats a box")
    return boxes


def _read_box(item: Any, spec: QuestionSpec) -> Box:
    if not isinstance(item, list) or len(item) != 4:
        raise Unparsable("has a box without four numbers")
    # bool is an int in Python, but `true` is not a coordinate.
    if any(isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value) for value in item):
        raise Unparsable("has a coordinate that is not a finite number")
    x_min, y_min, x_max, y_max = _in_pixels(item, spec)
    if x_min >= x_max or y_min >= y_max:
        raise Unparsable("has a box without area")
    return Box(x_min, y_min, x_max, y_max)


def _fitted(found: _Found, spec: QuestionSpec) -> list[tuple[str, Box]]:
    """Corners put in order, boxes clipped to the image, those without area dropped."""
    fitted = []
    for identity, values in found:
        x_1, y_1, x_2, y_2 = _in_pixels(values, spec)
        box = Box(min(x_1, x_2), min(y_1, y_2), max(x_1, x_2), max(y_1, y_2))
        if box.x_min < box.x_max and box.y_min < box.y_max:
            fitted.append((identity, box))
    return fitted[:_MOST_BOXES]


def _in_pixels(values: list[float], spec: QuestionSpec) -> list[int]:
    width, height = spec.image_size or (_FAR, _FAR)
    scale_x, scale_y = (width / 1000, height / 1000) if spec.box_space == "norm1000" and spec.image_size else (1, 1)
    return [
        round(min(max(value * scale, 0), limit))
        for value, scale, limit in zip(values, (scale_x, scale_y) * 2, (width, height) * 2, strict=True)
    ]


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of floats
        return False
