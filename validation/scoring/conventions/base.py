"""What a convention is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Numbers = tuple[float, ...]
Instances = dict[str, list[Numbers]]


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
