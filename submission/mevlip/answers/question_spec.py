"""What a question asks for: its options, its separator, its shape, its unit, its image's frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mevlip.core.text import one_line

BoxSpace = Literal["norm1000", "pixel"]
"""What box numbers mean in a model's text: thousandths of width and height, or pixels of the original."""

GREATEST = 999_999
"""Greater numbers are treated as degenerate output: nothing in an image is counted or measured in them."""

Shape = Literal["list", "object", ""]

# A mark is a letter or a number, alone, in one of the styles `A:`, `A)`, `A.`, `(A)`.
_MARK = re.compile(r"(?<![\w.\-])\(?([A-Za-z]|[0-9]{1,2})\s?([:.)])(?!\d)(?=\s*[^\s:.)])")
_FIRST_MARKS = ("A", "a", "1")
# A question of fact, not a request ("Can you name ...?").
_FACT = re.compile(r"(?:is|are|was|were|does|do|did|has|have|had|should|(?:can|could)(?! you))\b.*\?$", re.IGNORECASE)
_EITHER = re.compile(r"(,)?\s*(?:either )?([\w-]+) or (?:an? |the )?([\w-]+)\?$", re.IGNORECASE)
_THERE = re.compile(r"\b(?:is|are|was|were) there\b", re.IGNORECASE)
_BRACKETED = re.compile(r"[(\[{](?!e\.g|i\.e|such as|for example)([^()\[\]{}]*[,;/|][^()\[\]{}]*)[)\]}]")
_HEADING = re.compile(r"\b(?:question|task|instruction|note|q)$", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\b(?:all that apply|(?:every|each|any) [a-z]+ that applies|(?:select|choose|list|name) (?:all|every)|one or more|"
    r"semicolons?|comma-separated|(?:multiple|several) (?:selections|answers|options|labels|choices|are|may|can))\b",
    re.IGNORECASE,
)
_UNITS = {
    "%": re.compile(r"%|\bper ?cent(?:age)?s?\b", re.IGNORECASE),
    "°": re.compile(r"°|\bdegrees?\b|\bangle\b", re.IGNORECASE),
    "mm": re.compile(r"\bmm\b|\bmillimet(?:er|re)s?\b", re.IGNORECASE),
    "cm": re.compile(r"\bcm\b|\bcentimet(?:er|re)s?\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class QuestionSpec:
    """What a question asks for: the options, separator, shape, unit and frame of its answer.

    Attributes:
        question: The question's text.
        image_size: Width and height of the first image, in pixels of the original file; None where there is no image.
        box_space: What box numbers in the model's text mean.
        value_range: Least and greatest plausible measurement.
    """

    question: str
    image_size: tuple[int, int] | None = None
    box_space: BoxSpace = "pixel"
    value_range: tuple[float, float] = (-GREATEST, GREATEST)

    @cached_property
    def line(self) -> str:
        """The question as one clean line, so that whatever is taken from it may stand in an answer."""
        return one_line(self.question)

    @cached_property
    def options(self) -> dict[str, str]:
        """Marked options in the question (`A: x`, `A) x`, `A. x`, `(A) x`, `1. x`), mark to text; empty without any."""
        found = max((_options_from(self.line, first) for first in _FIRST_MARKS), key=len)
        return found if len(found) > 1 else {}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What may be answered in words: the options' texts, else a list without marks, else yes and no."""
        if self.options:
            return tuple(dict.fromkeys(self.options.values()))
        if self.shape:
            return ()
        for listed in self._lists():
            labels = _split_list(listed)
            if len(labels) > 1:
                return labels
        last = re.split(r"(?<=[.:!?])\s+(?=\S)", self.line)[-1]
        fact = _FACT.match(last)
        either = _EITHER.search(last)
        if either and (either[1] or (fact and not _THERE.match(last))):
            return either[2], either[3]
        return ("Yes", "No") if fact else ()

    @cached_property
    def several(self) -> bool:
        """Whether the question lets more than one option be chosen."""
        return bool(_SEVERAL.search(self.line))

    @cached_property
    def separator(self) -> str:
        """What stands between several labels: `; ` where the question lists or asks for semicolons, else `, `."""
        return "; " if ";" in self.line or "semicolon" in self.line.lower() else ", "

    @cached_property
    def shape(self) -> Shape:
        """How boxes are asked for: as a list, or as an object whose keys are identities; empty where none are."""
        text = self.line.lower()
        if "{" in text or re.search(r"\bjson\b|\bkeys?\b.*\bvalues?\b", text):
            return "object"
        return "list" if re.search(r"\[\s*x|bounding box|coordinates|\bx_?min\b", text) else ""

    @cached_property
    def unit(self) -> str:
        """The unit of the number asked for, such as `%`; empty where none is named."""
        return next((unit for unit, pattern in _UNITS.items() if pattern.search(self.line)), "")

    def _lists(self) -> list[str]:
        """Where a list of options may stand, the likeliest first."""
        before, colon, last = self.line.rpartition(":")
        listed = [last] if colon and not _HEADING.search(before) else []
        return listed + [match[1] for match in _BRACKETED.finditer(self.line)]


def _options_from(line: str, first: str) -> dict[str, str]:
    """The longest run of marks in order, all in the style of its first; the later of two equally long ones."""
    marks = list(_MARK.finditer(line))
    best: list[re.Match[str]] = []
    for start, mark in enumerate(marks):
        if mark[1] != first:
            continue
        run = [mark]
        for other in marks[start + 1 :]:
            if other[1] == _after(run[-1][1]) and other[2] == mark[2]:
                run.append(other)
        if len(run) >= len(best):
            best = run
    ends = [*(mark.start() for mark in best[1:]), len(line)]
    texts = [line[mark.end() : end].strip(" ,;|") for mark, end in zip(best, ends, strict=False)]
    return {mark[1]: text for mark, text in zip(best, texts, strict=True)} if all(texts) else {}


def _after(mark: str) -> str:
    return str(int(mark) + 1) if mark.isdigit() else chr(ord(mark) + 1)


def _split_list(listed: str) -> tuple[str, ...]:
    """Splits at semicolons, else bars, else commas, else slashes; a last `or` or `and` after a comma goes."""
    text = listed.strip().rstrip(".?!")
    mark = next((mark for mark in ";|,/" if mark in text), None)
    if mark is None:
        return ()
    parts = [part.strip() for part in text.split(mark)]
    if mark != ";" and len(parts) > 1:
        parts[-1:] = re.split(r"^(?:or|and) | or ", parts[-1])
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
