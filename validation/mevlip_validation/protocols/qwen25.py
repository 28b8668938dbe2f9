"""The FLARE 2025 Qwen2.5-VL and MedGemma baselines: letters A to E by pattern, labels with case, whole numbers only.

Only its reading is known here.
"""

from __future__ import annotations

import json
import re

from mevlip_validation.box_matching import Instances, Numbers
from mevlip_validation.protocols.base import Protocol, Reader, by_identity

_LETTER = re.compile(r"\b([A-E])(?:[.)\s]|$)")
_BOX = re.compile(r"\[\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PHRASE = re.compile(r"(?:approximately|about|around|roughly|total of|count is|there are)\s+(\d+)", re.IGNORECASE)
_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?)\s*%")


def read_choice(text: str) -> str:
    """The first capital A to E before a full stop, a bracket, a blank or the end, else the last word."""
    match = _LETTER.search(text)
    return match[1] if match else (text.split() or [""])[-1].strip(".,;:")


def read_labels(text: str) -> frozenset[str]:
    """Split at semicolons where there is one, else at commas; case counts, a full stop at the end does not."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    parts = (part.strip().strip("'\"").rstrip(".").strip() for part in text.split(";" if ";" in text else ","))
    return frozenset(part for part in parts if part)


def read_boxes(text: str) -> list[Numbers]:
    """Every four whole numbers in brackets."""
    return [tuple(float(value) for value in match) for match in _BOX.findall(text)]


def read_instances(text: str) -> Instances | None:
    """A strict JSON object."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return by_identity(content)


def read_count(text: str) -> float | None:
    """A number after a phrase, else the greatest above ten, else the first; thousands end at their comma."""
    if phrase := _PHRASE.search(text):
        return float(phrase[1])
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return max((number for number in numbers if number > 10), default=numbers[0] if numbers else None)


def read_measurement(text: str) -> float | None:
    """The first percentage, else the first number."""
    match = _PERCENT.search(text)
    number = match[1] if match else next(iter(_NUMBER.findall(text)), None)
    return None if number is None else float(number)


PROTOCOL = Protocol(
    "qwen25",
    "FLARE 2025 baselines Qwen2.5-VL and MedGemma",
    Reader(read_choice, read_labels, read_boxes, read_instances, read_count, read_measurement),
    exceptions={
        "option in words": "compares the letter A to E that it finds, else the last word",
        "label with a separator": "cuts such a label at its comma where it stands alone or between commas",
    },
)
