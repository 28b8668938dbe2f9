"""The FLARE 2026 MedGemma baseline: folded text, labels by semicolon or comma, boxes wherever four numbers stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mevlip_validation.scoring.conventions.base import Convention, Instances, Numbers, as_box

_GROUP = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"```(?:\w+)?|```")
_EMPTY = frozenset({"", "none", "n/a", "na", "null", "no finding", "no findings"})


def _fold(text: str) -> str:
    return " ".join(text.split()).lower()


def _labels(text: str) -> frozenset[str]:
    """Split at semicolons, line breaks and bars where there is one, else at commas."""
    parts = re.split(r"[;\n|]", text) if re.search(r"[;\n|]", text) else text.split(",")
    return frozenset(label for part in parts if (label := _fold(part)) not in _EMPTY)


def _pairs(text: str) -> list[tuple[str, Numbers]]:
    """Every box with its identity: from JSON, else from every group of four numbers in brackets, without one."""
    plain = _FENCE.sub("", text).strip()
    try:
        return list(_walk(json.loads(plain), ""))
    except (ValueError, RecursionError):
        groups = ([float(n) for n in _NUMBER.findall(group)] for group in _GROUP.findall(plain))
        return [("", tuple(group)) for group in groups if len(group) == 4]


def _walk(content: Any, identity: str) -> Iterator[tuple[str, Numbers]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _walk(value, str(key))
    elif isinstance(content, list):
        if len(content) == 4 and (box := as_box(content)):
            yield identity, box
            return
        for item in content:
            yield from _walk(item, identity)


def _boxes(text: str) -> list[Numbers]:
    return [box for _, box in _pairs(text)]


def _instances(text: str) -> Instances:
    found: Instances = {}
    for identity, box in _pairs(text):
        found.setdefault(identity, []).append(box)
    return found


def _number(text: str) -> float:
    """The first number without thousands commas; nothing is zero."""
    match = _NUMBER.search(text.replace(",", ""))
    return float(match[0]) if match else 0.0


FLARE26 = Convention("flare26", "FLARE 2026 baseline MedGemma", _fold, _labels, _boxes, _instances, _number, _number)
