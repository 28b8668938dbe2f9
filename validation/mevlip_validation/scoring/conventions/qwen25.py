"""The FLARE 2025 Qwen2.5-VL and MedGemma baselines: letters A to E by pattern, labels with case, whole numbers only."""

from __future__ import annotations

import json
import re

from mevlip_validation.scoring.conventions.base import Convention, Instances, Numbers, by_identity

_LETTER = re.compile(r"\b([A-E])(?:[.)\s]|$)")
_BOX = re.compile(r"\[\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PHRASE = re.compile(r"(?:approximately|about|around|roughly|total of|count is|there are)\s+(\d+)", re.IGNORECASE)
_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?)\s*%")


def _choice(text: str) -> str:
    """The first capital A to E before a full stop, a bracket, a blank or the end, else the last word."""
    match = _LETTER.search(text)
    return match[1] if match else (text.split() or [""])[-1].strip(".,;:")


def _labels(text: str) -> frozenset[str]:
    """Split at semicolons where there is one, else at commas; case counts, a full stop at the end does not."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    parts = (part.strip().strip("'\"").rstrip(".").strip() for part in text.split(";" if ";" in text else ","))
    return frozenset(part for part in parts if part)


def _boxes(text: str) -> list[Numbers]:
    """Every four whole numbers in brackets."""
    return [tuple(float(value) for value in match) for match in _BOX.findall(text)]


def _instances(text: str) -> Instances | None:
    """A strict JSON object."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return by_identity(content)


def _count(text: str) -> float | None:
    """A number after a phrase, else the greatest above ten, else the first; thousands end at their comma."""
    if phrase := _PHRASE.search(text):
        return float(phrase[1])
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return max((number for number in numbers if number > 10), default=numbers[0] if numbers else None)


def _measurement(text: str) -> float | None:
    """The first percentage, else the first number."""
    match = _PERCENT.search(text)
    number = match[1] if match else next(iter(_NUMBER.findall(text)), None)
    return None if number is None else float(number)


QWEN25 = Convention(
    "qwen25",
    "FLARE 2025 baselines Qwen2.5-VL and MedGemma",
    _choice,
    _labels,
    _boxes,
    _instances,
    _count,
    _measurement,
)
