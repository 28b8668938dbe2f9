"""True answers, drawn at random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Rng = random.Random


def _choice(rng: Rng) -> Any:
    return rng.choice(("A", "B", "C", "A", "B", "Luminal b", "Her2-enriched", "None"))


LABELS = ("Caries", "pulpitis", "Deep Caries, treated", "Bone  Resorption", "X")
"""Labels of findings, one with a comma and one with two blanks."""


def _labels(rng: Rng) -> Any:
    return rng.choice(("; ", ";", ", ", ",")).join(rng.sample(LABELS, rng.randint(1, 3)))


_SIDES = (0, 1, 2, 3, 4, 5, 8, 10, 12)
_HALVES = ([0, 0, 10, 10], [0, 0, 10, 5], [0, 5, 10, 10], [0, 0, 5, 10], [0, 0, 30, 10], [10, 0, 40, 10])
"""Boxes many of which overlap by exactly a half, so that two of them tie."""


def draw_corners(rng: Rng) -> list[Any]:
    """The corners of a box, often one of a few that overlap by a half."""
    if rng.random() < 0.6:
        return list(rng.choice(_HALVES))
    left, top = rng.choice(_SIDES), rng.choice(_SIDES)
    return [left, top, left + rng.choice(_SIDES[1:]), top + rng.choice(_SIDES[1:])]


def _boxes(rng: Rng) -> Any:
    boxes = [draw_corners(rng) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
    return rng.choice((json.dumps(boxes), json.dumps(boxes), boxes))


_IDENTITIES = ("1", "2", "X", "x", "")


def _instances(rng: Rng) -> Any:
    names = rng.sample(_IDENTITIES, rng.choice((0, 1, 1, 2, 3)))
    found = {name: [draw_corners(rng) for _ in range(rng.choice((0, 1, 1, 2)))] for name in names}
    return rng.choice((json.dumps(found), json.dumps(found), found))


def _count(rng: Rng) -> Any:
    return str(rng.choice((0, 1, 5, 11, 87, 1000, 1234)))


def _measurement(rng: Rng) -> Any:
    return rng.choice(("34.7", "0.5", "-2.25", "12", "100.0", "1e3"))


def _tied_boxes(rng: Rng) -> tuple[list[Any], list[Any]]:
    """True and predicted boxes in a row, every second one true, so that neighbors overlap equally."""
    width, step = rng.choice(((10, 2), (30, 10)))
    row = [[place * step, 0, place * step + width, 10] for place in range(rng.choice((3, 4, 5)))]
    wanted, given = row[1::2], row[::2]
    rng.shuffle(wanted)
    rng.shuffle(given)
    return wanted, given


def _tied_detection(rng: Rng) -> tuple[Any, Any]:
    wanted, given = _tied_boxes(rng)
    return json.dumps(wanted), json.dumps(given)


def _tied_instances(rng: Rng) -> tuple[Any, Any]:
    wanted, given = _tied_boxes(rng)
    return json.dumps({"1": wanted}), json.dumps({"1": given})


TIED = {"detection": _tied_detection, "instance detection": _tied_instances}
"""True and predicted boxes whose overlaps tie, by task."""
TARGETS: dict[str, Callable[[Rng], Any]] = {
    "classification": _choice,
    "multi-label classification": _labels,
    "detection": _boxes,
    "instance detection": _instances,
    "counting": _count,
    "regression": _measurement,
}
