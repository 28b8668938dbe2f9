"""What a convention is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Numbers = tuple[float, ...]
Instances = dict[str, list[Numbers]]


def as_box(item: Any) -> Numbers:
    """The numbers of a box; none where it is no list of numbers, so that it matches nothing."""
    if not isinstance(item, list | tuple) or not all(isinstance(value, int | float) for value in item):
        return ()
    try:
        return tuple(float(value) for value in item)
    except OverflowError:  # a whole number beyond the range of floats
        return ()


def by_identity(content: dict[Any, Any]) -> Instances:
    """The boxes of an object of lists; what is no list is left out."""
    return {
        str(key): [as_box(box) for box in boxes] for key, boxes in content.items() if isinstance(boxes, list | tuple)
    }


@dataclass(frozen=True)
class Convention:
    """One evaluator's way of reading answers. Truth and prediction are read alike.

    Attributes:
        name: Short name.
        evaluator: Whose evaluator it is.
        choice: What a classification answer is compared as.
        labels: The labels of a multi-label answer, as they are compared.
        boxes: The boxes of a detection answer; a box that is no four numbers stays as it is and matches nothing.
        instances: Boxes by identity; the empty identity holds boxes that are matched whatever they are.
        count: A count.
        measurement: A measurement.
    """

    name: str
    evaluator: str
    choice: Callable[[str], str]
    labels: Callable[[str], frozenset[str]]
    boxes: Callable[[str], list[Numbers] | None]
    instances: Callable[[str], Instances | None]
    count: Callable[[str], float | None]
    measurement: Callable[[str], float | None]
