"""Recognizing an option in other words: another case, a full stop, a slip of the pen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

ALIKE = 0.84
"""Least similarity (difflib's ratio) of a text and the option it is taken for."""
LEAD = 0.1
"""By so much it must be more alike than the next option."""

_SHORTEST, _LONGEST = 4, 200
_ARTICLE = re.compile(r"^(?:an?|the) ")
_NEGATED = re.compile(
    r"\b(?:no|not|nor|without|neither|isn't|rather than|instead of|exclud\w+|rules? out)(?:\s+\w+){0,2}\s*$"
)


def fold_label(text: str) -> str:
    """A label without case, without punctuation at its ends, with single blanks."""
    return " ".join(text.casefold().split()).strip(" .,:;!?'\"`*_-")


def same(text: str, labels: Sequence[str]) -> str | None:
    """The only label that equals a text but for case and punctuation, or None."""
    wanted = fold_label(text)
    found = [label for label in labels if wanted and fold_label(label) == wanted]
    return found[0] if len(found) == 1 else None


def closest(text: str, labels: Sequence[str]) -> str | None:
    """The label a text means: the same, the only one it is a part of, or one alike enough to be no other; or None."""
    if found := same(text, labels):
        return found
    wanted = _ARTICLE.sub("", fold_label(text))
    if not _SHORTEST <= len(wanted) <= _LONGEST:
        return None
    around = [label for label in labels if re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", fold_label(label))]
    if around:
        return around[0] if len(around) == 1 else None
    alike = [(SequenceMatcher(None, wanted, fold_label(label)).ratio(), label) for label in labels]
    (best, label), *rest = sorted(alike, reverse=True)
    return label if best >= ALIKE and all(best - other >= LEAD for other, _ in rest) else None


def contained(text: str, labels: Iterable[str]) -> list[tuple[int, str]]:
    """Labels that stand in a text as whole words and not denied, with their places; of overlapping ones the longest."""
    line = " ".join(text.casefold().split())
    taken: list[tuple[int, int, str]] = []
    for label in sorted(labels, key=len, reverse=True):
        folded = fold_label(label)
        if not folded:
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(folded)}(?!\w)", line):
            if all(match.end() <= start or end <= match.start() for start, end, _ in taken):
                taken.append((*match.span(), label))
    return [
        (start, label) for start, _, label in sorted(taken) if not _NEGATED.search(line[max(start - 60, 0) : start])
    ]
