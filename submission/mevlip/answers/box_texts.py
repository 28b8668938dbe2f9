"""Finding boxes in a text that is not a legal answer: the many ways in which models write four numbers."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

from mevlip.answers.base import Refusal, Unparsable
from mevlip.answers.clean import plain, unwrap
from mevlip.answers.refusals import refuses
from mevlip.core.text import one_line

Found = list[tuple[str, list[float]]]
"""Identity, empty where there is none, and four numbers as they stand."""

_DIGITS = r"(-?\d{1,9}(?:\.\d{1,20})?)"
_N = rf"\s*+{_DIGITS}\s*+"
_GAP = r"(?:\s*+[,;]\s*+|\s++)"
_FOUR = re.compile(rf"[\[(]{_N},{_N}(?:,|\)\s*+,?\s*+\(){_N},{_N}[\])]")
_BARE_FOUR = re.compile(rf"(?<![\d.]){_DIGITS}{_GAP}{_DIGITS}{_GAP}{_DIGITS}{_GAP}{_DIGITS}(?!\d|\.\d)")
_TWO_POINTS = re.compile(rf"\({_N},{_N}\)[^()\[\]{{}}\d]{{1,60}}\({_N},{_N}\)")
_BRACKET = re.compile(r"[()\[\]{}]")
_KEY = re.compile(
    r"\b(?:chromosomes?|chrom|chr)[ _#-]*+(?:(?:pair|number|no\.?|id)[ _#:-]*+)?([0-9]{1,2}|"
    r"[XYxy])(?![\w.])(?=[\"'\s]*+[^\w\s]|\s++[\w(\[])|"
    r"(?:^|[{,\[|]|\]\s|[-*\u2022]\s)[ \t]*+[\"']?([0-9]{1,2}|[XYxy])[\"']?\s*+(?:[:=]|\|)\s*+(?=[\[{(])",
    re.IGNORECASE | re.MULTILINE,
)
_EXAMPLE = re.compile(
    r"\b(?:e\.g\.|i\.e\.|for example|such as|examples?|would (?:be|look)|formatt?(?:ed)?|looks? like)[^.!?\n]{0,60}\Z",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"\b(?:cannot|can't|do not|don't|unable to) (?:see|find|detect|identify)\b", re.IGNORECASE)
_PIXELS = re.compile(r"(?<=\d)\s*+(?:px|pixels?)\b")
_CORNERS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_NAMED_CORNERS = tuple(
    re.compile(
        r"[^\d\n]{0,4}(?:\n[^\d\n]{0,4})?".join(rf"\b{name}\b[^\w\n]{{1,6}}{_DIGITS}" for name in names), re.IGNORECASE
    )
    for names in _CORNERS
)
_WRAPPERS = frozenset(
    [
        "bbox_2d",
        "bbox",
        "box",
        "box_2d",
        "boxes",
        "bounding_box",
        "bounding_boxes",
        "bboxes",
        "coordinates",
        "position",
        "location",
        "detection",
        "detections",
        "object",
        "objects",
        "instance",
        "instances",
        "chromosomes",
        "annotation",
        "annotations",
        "prediction",
        "predictions",
        "result",
        "results",
        "answer",
        "output",
        "image",
        "images",
        "data",
        "items",
        "regions",
        "list",
    ]
)
"""Keys that say what stands below them, not which one it is."""
_NAME_KEYS = ("label", "id", "chromosome", "chromosome_id", "chromosome_number", "number", "name", "class")
_DEEPEST = 50  # brackets in each other; readers of JSON take long, or break, where there are thousands


def boxes_by_identity(text: str) -> Found:
    """Every box of a text, by JSON or Python notation where it is either, else wherever four numbers stand together.

    Raises:
        Unparsable: There is none.
    """
    said = _cleaned(text)
    found = list(_walk(_structure(said), ""))
    # What stands around a list, as in `Chromosome 6: [1, 2, 3, 4]`, may name what it holds.
    if not any(identity for identity, _ in found):
        scanned = _scan(said)
        found = scanned if any(identity for identity, _ in scanned) or not found else found
    if (refuses(said) and not found) or ((refuses(said) or _NOT_FOUND.search(said)) and _is_example(said)):
        raise Refusal
    if not found:
        raise Unparsable("has no four numbers together")
    return found


def is_wrapper(key: str) -> bool:
    """Whether a key of a JSON object says what stands below it (`boxes`, `detections`), not which one it is."""
    return re.sub(r"[\s-]+", "_", key.strip().lower()) in _WRAPPERS


def repaired_boxes(text: str) -> Found:
    """Every box of a text whose JSON is repaired first.

    Raises:
        Unparsable: There is none.
    """
    from json_repair import repair_json

    said = _cleaned(text)
    if _depth(said) > _DEEPEST:
        raise Unparsable("has JSON that cannot be repaired")
    try:
        repaired = repair_json(said, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError) as error:
        raise Unparsable("has JSON that cannot be repaired") from error
    found = list(_walk(repaired, ""))
    if not found:
        raise Unparsable("has no box, even after its JSON was repaired")
    return found


def _cleaned(text: str) -> str:
    """What a model says, of a code fence its content, with plain brackets and commas and without `px`."""
    return _PIXELS.sub("", plain(unwrap(text)))


def _is_example(said: str) -> bool:
    """Whether the first bracket with a number in a text is only shown as an example."""
    first = re.search(r"[\[({][^\w]*+[\d\"']", said)
    return first is not None and bool(_EXAMPLE.search(said[max(first.start() - 100, 0) : first.start()]))


def _structure(said: str) -> Any:
    """What the text, or its part from the first to the last bracket, says in JSON or in Python's notation."""
    if _depth(said) > _DEEPEST:
        return None
    opening = min((place for place in map(said.find, "[{") if place >= 0), default=0)
    inner = said[opening : max(map(said.rfind, "]}")) + 1]
    for candidate in dict.fromkeys((said, inner or said)):
        for read in (_read_json, _read_literal):
            try:
                return read(candidate)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
    return None


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=list)


def _read_literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's warnings quote the text
        return ast.literal_eval(text)


def _walk(content: Any, identity: str, depth: int = 0) -> Iterator[tuple[str, list[float]]]:
    """Boxes anywhere in a structure; a key above a box, or a label beside it, is its identity."""
    if depth > 8:
        return
    pairs = list(content.items()) if isinstance(content, dict) else content
    if _are_pairs(pairs):
        yield from _walk_pairs(pairs, identity, depth)
    elif _is_box(content):
        yield identity, [float(value) for value in content]
    elif isinstance(content, list | tuple):
        if len(content) == 2 and all(_is_point(point) for point in content):
            yield identity, [float(value) for point in content for value in point]
            return
        for item in content:
            yield from _walk(item, identity, depth + 1)


def _walk_pairs(pairs: list[tuple[Any, Any]], identity: str, depth: int) -> Iterator[tuple[str, list[float]]]:
    named = {str(key).strip().lower(): value for key, value in pairs}
    for corners in _CORNERS:
        if all(_is_number(named.get(corner)) for corner in corners):
            yield _name_beside(named) or identity, [float(named[corner]) for corner in corners]
            return
    label = _name_beside(named)
    for key, value in pairs:
        own = str(key).strip()
        if is_wrapper(own):
            yield from _walk(value, label or identity, depth + 1)
        elif own.lower() not in _NAME_KEYS:
            yield from _walk(value, _identity(own), depth + 1)


def _name_beside(named: dict[str, Any]) -> str:
    return next((_identity(str(named[key])) for key in _NAME_KEYS if isinstance(named.get(key), str | int)), "")


def _identity(name: str) -> str:
    """`chromosome 7` and `chr_7` are 7; other names stay, on one line."""
    match = re.fullmatch(r"(?:chromosome|chrom|chr)?[ _#-]*([0-9]{1,3}|[XYxy])", name.strip(), re.IGNORECASE)
    return match[1].upper() if match else one_line(name)[:40].strip()


def _are_pairs(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str | int) for pair in content)
        and not all(_is_point(pair) for pair in content)
    )


def _is_box(content: Any) -> bool:
    return isinstance(content, list | tuple) and len(content) == 4 and all(_is_number(value) for value in content)


def _is_point(content: Any) -> bool:
    return isinstance(content, list | tuple) and len(content) == 2 and all(_is_number(value) for value in content)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number, or digits in quotation marks."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"\s*-?\d{1,9}(?:\.\d{1,20})?\s*", value, re.ASCII))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and not math.isnan(value)


def _scan(said: str) -> Found:
    """Complete boxes of a text without structure, such as one that was cut off, each under the last key before it."""
    keys = [(match.start(), (match[1] or match[2]).upper()) for match in _KEY.finditer(said)]
    matches = list(_FOUR.finditer(said)) or _loose(said)
    found = []
    last, waiting = "", deque(keys)
    for match in matches:
        while waiting and waiting[0][0] < match.start():
            last = waiting.popleft()[1]
        found.append((last, [float(value) for value in match.groups()]))
    return found


def _loose(said: str) -> list[re.Match[str]]:
    """Boxes by the names of their corners, else two points, else four bare numbers."""
    for pattern in _NAMED_CORNERS if "{" not in said else ():  # broken JSON is repaired
        if named := list(pattern.finditer(said)):
            return named
    return list(_TWO_POINTS.finditer(said)) or list(_BARE_FOUR.finditer(said))[:1]


def _depth(text: str) -> int:
    """How many brackets are open at most; a lower bound where they do not match."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest
