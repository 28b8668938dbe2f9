"""Bounding boxes: a list of them, or lists by instance id."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from submission.answers.base import Answer, Unparsable
from submission.answers.form import Form


class Box(NamedTuple):
    """Corners in whole pixels of the original image, `x_min < x_max` and `y_min < y_max`."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


@dataclass(frozen=True)
class Boxes(Answer):
    """Boxes of one kind of thing."""

    boxes: tuple[Box, ...]

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts a JSON list of four-number lists, in the form's box space."""
        return cls(_read_boxes(_read_json(text), form))

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """The middle half of the image, where most lesions lie."""
        if form.image_size is None:
            return None
        width, height = form.image_size
        box = Box(width // 4, height // 4, max(width * 3 // 4, width // 4 + 1), max(height * 3 // 4, height // 4 + 1))
        return cls((box,))

    def format(self) -> str:
        """A nested list, nested even for one box."""
        return json.dumps(self.boxes)


@dataclass(frozen=True)
class InstanceBoxes(Answer):
    """Boxes by identity, such as chromosome number."""

    instances: tuple[tuple[str, tuple[Box, ...]], ...]

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts a JSON object of identities, each with a list of four-number lists."""
        content = _read_json(text)
        if not isinstance(content, dict):
            raise Unparsable("no JSON object")
        return cls(tuple((identity, _read_boxes(boxes, form)) for identity, boxes in content.items()))

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """No instances."""
        return cls(())

    def format(self) -> str:
        """A strict JSON object, identities in the given order."""
        return json.dumps(dict(self.instances))


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unparsable("no valid JSON") from error


def _read_boxes(content: Any, form: Form) -> tuple[Box, ...]:
    if not isinstance(content, list):
        raise Unparsable("no list of boxes")
    return tuple(_read_box(item, form) for item in content)


def _read_box(item: Any, form: Form) -> Box:
    if not isinstance(item, list) or len(item) != 4:
        raise Unparsable("a box without four numbers")
    # bool is an int in Python, but `true` is no coordinate.
    if any(isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value) for value in item):
        raise Unparsable("a coordinate that is no finite number")
    width, height = form.image_size or (math.inf, math.inf)
    scale_x, scale_y = (width / 1000, height / 1000) if form.box_space == "norm1000" and form.image_size else (1, 1)
    x_min, y_min, x_max, y_max = (
        round(min(max(value * scale, 0), limit))
        for value, scale, limit in zip(item, (scale_x, scale_y) * 2, (width, height) * 2, strict=True)
    )
    if x_min >= x_max or y_min >= y_max:
        raise Unparsable("a box without area")
    return Box(x_min, y_min, x_max, y_max)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of floats
        return False
