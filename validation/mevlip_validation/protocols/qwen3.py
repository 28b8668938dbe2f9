"""The FLARE 2025 Qwen3-VL baseline: exact letters, labels as single words, one box per line.

Only its reading is known here.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from mevlip_validation.box_matching import Instances, Numbers
from mevlip_validation.protocols.base import Protocol, Reader, by_identity

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ENTRY = re.compile(r"[\"']?(\w+)[\"']?\s*:\s*(\[(?:\s*\[[^\[\]]*\]\s*,?)+)")
_FOUR = re.compile(r"\[([^\[\]]*)\]")


def read_choice(text: str) -> str:
    """Exact text, letter case aside."""
    return text.strip().upper()


def read_labels(text: str) -> frozenset[str]:
    """Words: every comma, semicolon and blank parts."""
    return frozenset(word for word in re.split(r"[,;\s]+", text.strip().upper()) if word)


def read_boxes(text: str) -> list[Numbers]:
    """One box per line or semicolon; a nested list of two boxes is eight numbers and so not a box."""
    found = []
    for line in re.split(r"[;\n]", text):
        numbers = [float(number) for number in _NUMBER.findall(line.strip().strip("[](){}"))]
        if len(numbers) == 4:
            found.append(tuple(numbers))
    return found


def read_instances(text: str) -> Instances:
    """JSON, else Python's notation, else whatever entries of a cut-off object are complete."""
    for read in (json.loads, ast.literal_eval):
        try:
            content: Any = read(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if not isinstance(content, dict):
            return {}
        return by_identity(content)
    found: Instances = {}
    for key, boxes in _ENTRY.findall(text):
        fours = [tuple(float(n) for n in _NUMBER.findall(box)) for box in _FOUR.findall(boxes)]
        found[key] = [box for box in fours if len(box) == 4]
    return found


def read_number(text: str) -> float | None:
    """The first number."""
    match = _NUMBER.search(text)
    return float(match[0]) if match else None


PROTOCOL = Protocol(
    "qwen3",
    "FLARE 2025 baseline Qwen3-VL",
    Reader(read_choice, read_labels, read_boxes, read_instances, read_number, read_number),
    exceptions={
        "label of several words": "compares single words",
        "several boxes": "reads no box where a row holds more than one, in target and prediction alike",
    },
)
