"""Where a box lies, in words."""

from __future__ import annotations

import json
import random
import re

from mevlip.answers.boxes import Boxes
from mevlip_training.data.augmentation.base import DataSet, Options, Original, kind, lettered

_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "middle", "right")
PLACES = tuple(
    "center" if (row, column) == ("middle", "middle") else f"{row} {column}" for row in _ROWS for column in _COLUMNS
)
"""Thirds of the height and of the width, from the upper left."""

_MARGIN = 0.03
"""Nearer than this part of a side to a line between two thirds, a box's center could be told to lie on either side."""

_BRACKETS = re.compile(r"\s*[\[({][^\])}]*[\])}]+")
_DETERMINER = r"(?:(?:the|an?|all|each|every|any|whatever|its|position|location|coordinates|places?)\s+(?:of\s+)?)*"
_THING = r"([a-z][a-z-]*(?:\s[a-z][a-z-]*){0,2}?)"
_END = (
    r"(?='s\s|\s(?:in|on|from|with|within|using|as|and|by|at|of|is|are|lies?|sits?|covers?|occup(?:y|ies)|"
    r"located|expressed|visible|seen|shown|positions?|coordinates|regions?|locations?|boundar(?:y|ies))\b|"
    r"\s*[.,;:?!]|\s*$)"
)
_SUBJECTS = (
    re.compile(
        r"\b(?:around|contains?|containing|encloses?|enclosing|surrounds?|surrounding|bounds|"
        rf"(?:coordinates|location|position|place|box(?:es)?|information|extent|dimensions) (?:of|for)|^for)\s+"
        rf"{_DETERMINER}{_THING}{_END}",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:find|locate|locali[sz]e|box|detect|mark|outline|capture|describe|identify|"
        rf"where(?: is| are| does| do)?|does|do)\s+{_DETERMINER}{_THING}{_END}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:the|an?)\s+{_THING}(?:'s)?\s+(?:coordinates|positions?|locations?|regions?|boundar(?:y|ies))\b",
        re.IGNORECASE,
    ),
)
_NO_THINGS = frozenset(("it", "them", "box", "boxes", "coordinates", "format", "image", "notation", "picture"))
"""Last words of what is not a thing in the picture."""


@kind("place", "a single box as single choice among nine places of the picture")
def place(row: Original, dataset: DataSet, draw: random.Random) -> Options | None:
    """Asks in which ninth of the picture the center of a row's only box lies."""
    if row.answer_type is not Boxes:
        return None
    boxes, subject = json.loads(row.target), subject_of(row.spec.line)
    if len(boxes) != 1 or not subject:
        return None
    right = place_of(boxes[0], row.size)
    if right is None:
        return None
    wrong = draw.sample([one for one in PLACES if one != right], min(dataset.options, len(PLACES)) - 1)
    stem = f"In which part of the picture is the middle of the {subject}?"
    return Options(right, tuple(wrong), lambda texts: f"{stem} {lettered(texts)}", stem)


def place_of(box: list[int], size: tuple[int, int]) -> str | None:
    """The place of a box's center; None where it is too near to the line between two.

    Args:
        box: x_min, y_min, x_max, y_max in pixels.
        size: Width and height of the picture in pixels.
    """
    thirds = []
    for low, high, side in ((box[1], box[3], size[1]), (box[0], box[2], size[0])):
        center = (low + high) / 2 / side
        if min(abs(center - 1 / 3), abs(center - 2 / 3)) < _MARGIN:
            return None
        thirds.append(min(int(3 * center), 2))
    return PLACES[3 * thirds[0] + thirds[1]]


def subject_of(line: str) -> str:
    """What a question wants a box around, as it names it; empty where that cannot be told."""
    plain = _BRACKETS.sub("", line)
    for pattern in _SUBJECTS:
        for found in pattern.finditer(plain):
            thing = found[1].lower()
            if thing.split()[-1] not in _NO_THINGS:
                return thing
    return ""
