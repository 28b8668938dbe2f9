"""The FLARE 2025 PaliGemma evaluator, which ME-VLIP's own equals: exact text, Python literals, bare numbers."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from mevlip_validation.scoring.conventions.base import Convention, Instances, Numbers, as_box, by_identity


def _choice(text: str) -> str:
    return text.strip().lower()


def _labels(text: str) -> frozenset[str]:
    """Split at semicolons and commas alike."""
    return frozenset(part.strip().lower() for part in re.split(r"[;,]", text) if part.strip())


def _boxes(text: str) -> list[Numbers] | None:
    """A Python literal; each item of the list is taken for a box, so a flat box is four that match nothing."""
    try:
        content: Any = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not isinstance(content, list | tuple):
        return None
    return [as_box(item) for item in content]


def _instances(text: str) -> Instances | None:
    """JSON; what is no object counts as an empty one, what is no JSON as if the row were not there."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return {}
    return by_identity(content)


def _number(text: str) -> float | None:
    """A bare number; anything else makes the error of the whole task infinite."""
    try:
        return float(text)
    except ValueError:
        return None


PALIGEMMA = Convention(
    "paligemma", "FLARE 2025 baseline PaliGemma, ME-VLIP", _choice, _labels, _boxes, _instances, _number, _number
)
