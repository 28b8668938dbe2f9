"""Reading JSON lists of records so that whatever is in them can be written again as strict JSON."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mevlip.core.files import NotReadable, read_bounded
from mevlip.core.text import visible

MAX_BYTES = 64 * 1024 * 1024
"""Most bytes of a question or ground-truth file that is read: two hundred times the challenge's largest."""

MAX_DEPTH = 64
"""Deepest nesting of lists and objects in a record that is kept; `[]` in a field is 2 deep."""

_MOST_DIGITS = 4000  # Python neither reads nor writes whole numbers of more than 4,300
_MOST_PROBLEMS = 20
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_ROOM = 3  # the list, the record, and one container more, which is then found to be too deep


class _Refused:
    """A value that strict JSON does not have, or that Python cannot write."""

    def __init__(self, text: str) -> None:
        self.text = text


class _Repeated(dict[str, Any]):
    """An object that names keys twice; the last value counts, as in every evaluator's reader."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.keys_twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def read_records(path: Path, root: Path, problems: list[str]) -> list[Any]:
    """Reads a list of records; entries of other types are kept in their places.

    Every record can be written again as strict JSON: NaN, infinite and oversized numbers and what is nested too deeply
    become null, each named as a problem, and the rest of the record stays.

    Args:
        path: The file.
        root: The input folder, resolved.
        problems: Where a line is added for each value that is not kept.

    Raises:
        ValueError: The file leaves the folder, is not a regular one, is too large, cannot be read, or is not a list
            with question records.
    """
    try:
        content = read_bounded(path, MAX_BYTES, root)
    except NotReadable as error:
        raise ValueError(error.strerror) from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    try:
        records = _parse(content)
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from error
    if not isinstance(records, list) or not any(_is_question(record) for record in records):
        raise ValueError("is not a list of records with Question and ImageName")
    file = name_below(path, root)
    lost = [
        f"{file}[{index}]: field {visible(repr(field), 60)} {fault}"
        for index, record in enumerate(records)
        for field, fault in _clean(records, index, record)
    ]
    problems += first_of(lost, f"{file}: ... and {{}} more such values")
    return records


def name_below(path: Path, root: Path) -> str:
    """A file's path below a folder, with forward slashes, for messages and reports."""
    return visible(path.relative_to(root).as_posix())


def first_of(lines: Sequence[str], rest: str) -> list[str]:
    """The first twenty lines and, where there are more, a line that says how many."""
    more = len(lines) - _MOST_PROBLEMS
    return [*lines[:_MOST_PROBLEMS], *([rest.format(more)] if more > 0 else [])]


def _is_question(record: object) -> bool:
    return isinstance(record, dict) and isinstance(record.get("Question"), str) and "ImageName" in record


def _parse(content: bytes) -> Any:
    """Parses JSON in any of its encodings; values that cannot be kept come as `_Refused`."""
    text = content.decode(json.detect_encoding(content), "surrogatepass")
    try:
        return _loads(text)
    except RecursionError:
        return _loads(_pruned(text))


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_Refused, parse_float=_float, parse_int=_int, object_pairs_hook=_object)


def _float(text: str) -> float | _Refused:
    value = float(text)
    return value if math.isfinite(value) else _Refused(visible(text, 20))


def _int(text: str) -> int | _Refused:
    return int(text) if len(text) <= _MOST_DIGITS else _Refused(f"a whole number of {len(text)} digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Repeated(pairs)


def _pruned(text: str) -> str:
    """JSON without what lies deeper than any record may be, so that one such record does not lose the others."""
    kept, depth, start, deepest = [], 0, 0, MAX_DEPTH + _ROOM
    for token in _TOKENS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == deepest:
                kept.append(text[start : token.end()])
        elif token[0] in "]}":
            if depth == deepest:
                start = token.start()
            depth -= 1
    return "".join(kept) + text[start:] if depth < deepest else "".join(kept)


def _clean(records: list[Any], index: int, record: Any) -> Iterator[tuple[str, str]]:
    """Puts null where a record has a value that cannot be kept, and yields the field and what was wrong with it."""
    if not isinstance(record, dict):
        if isinstance(record, _Refused):
            records[index] = None
        return
    # Field, container, depth; a loop, not a recursion, because depth is what is looked for.
    waiting: list[tuple[str, Any, int]] = [("", record, 0)]
    while waiting:
        field, container, depth = waiting.pop()
        if isinstance(container, _Repeated):
            for key in container.keys_twice:
                yield field or key, f"names {visible(repr(key), 60)} twice; the last value counts"
        items: Iterable[tuple[Any, Any]] = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in items:
            inner = field or str(key)
            if isinstance(value, _Refused):
                container[key] = None
                yield inner, f"holds {value.text}, which cannot be kept; written as null"
            elif isinstance(value, dict | list):
                if depth < MAX_DEPTH:
                    waiting.append((inner, value, depth + 1))
                else:
                    container[key] = None
                    yield inner, f"is nested more than {MAX_DEPTH} deep; what lies deeper is written as null"
