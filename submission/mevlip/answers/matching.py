"""Recognizing an option in other words: another case, a full stop, a slip of the pen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from mevlip.answers.denial import denied
from mevlip.core.text import one_line

ALIKE = 0.84
"""Least similarity (difflib's ratio) of a text and the option it is taken for."""
LEAD = 0.1
"""By so much it must be more alike than the next option."""

_SHORTEST, _LONGEST = 4, 200
_ARTICLE = re.compile(r"^(?:an?|the) ")


def fold_label(text: str) -> str:
    """A label as `one_line` cleans it, without case and without punctuation at its ends."""
    return one_line(text).casefold().strip(" .,:;!?'\"`*_-")


def same(text: str, labels: Sequence[str]) -> str | None:
    """The only label that equals a text but for case and punctuation, or None."""
    wanted = fold_label(text)
    found = [label for label, folded in _folded(tuple(labels)) if wanted and folded == wanted]
    return found[0] if len(found) == 1 else None


def closest(text: str, labels: Sequence[str]) -> str | None:
    """The label a text means: the same, the only one it is a part of, or one alike enough to be no other; or None."""
    if found := same(text, labels):
        return found
    wanted = _ARTICLE.sub("", fold_label(text))
    if not _SHORTEST <= len(wanted) <= _LONGEST:
        return None
    folded = _folded(tuple(labels))
    around = [label for label, one in folded if next(_places(wanted, one), None) is not None]
    if around:
        return around[0] if len(around) == 1 else None
    alike = [(_likeness(wanted, one), label) for label, one in folded]
    (best, label), *rest = sorted(alike, reverse=True)
    return label if best >= ALIKE and all(best - other >= LEAD for other, _ in rest) else None


def contained(text: str, labels: Iterable[str]) -> list[tuple[int, str]]:
    """Labels that stand in a text as whole words and not denied, with their places; of overlapping ones the longest."""
    line, named = mentioned(text, labels)
    not_meant = denied(line, [(start, end) for start, end, _ in named])
    return [(start, label) for place, (start, _, label) in enumerate(named) if place not in not_meant]


def mentioned(text: str, labels: Iterable[str]) -> tuple[str, list[tuple[int, int, str]]]:
    """A text on one line and in lower case, and the labels that stand in it: where from, where to, which, in order."""
    line = one_line(text).casefold()
    taken = bytearray(len(line))
    found: list[tuple[int, int, str]] = []
    for label, folded in sorted(_folded(tuple(labels)), key=lambda pair: len(pair[0]), reverse=True):
        for start in _places(folded, line):
            end = start + len(folded)
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * len(folded)
                found.append((start, end, label))
    return line, sorted(found)


@lru_cache(maxsize=16)
def _folded(labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each label with its folded form."""
    return tuple((label, fold_label(label)) for label in labels)


def _places(words: str, line: str) -> Iterator[int]:
    """Where words stand in a line, not as a part of longer ones; places do not overlap."""
    start = line.find(words) if words else -1
    while start >= 0:
        end = start + len(words)
        if _is_edge(line[start - 1 : start]) and _is_edge(line[end : end + 1]):
            yield start
            start = line.find(words, end)
        else:
            start = line.find(words, start + 1)


def _is_edge(char: str) -> bool:
    return not (char.isalnum() or char == "_")


def _likeness(wanted: str, folded: str) -> float:
    """Difflib's ratio, or 0 where lengths alone rule out that it matters."""
    matcher = SequenceMatcher(None, wanted, folded)
    return matcher.ratio() if matcher.real_quick_ratio() >= ALIKE - LEAD else 0.0
