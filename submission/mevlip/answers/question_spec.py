"""What a question asks for: its options, its separator, its shape, its unit, its image's frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from mevlip.core.text import one_line

BoxSpace = Literal["norm1000", "pixel"]
"""What box numbers mean in a model's text: thousandths of width and height, or pixels of the original."""

GREATEST = 999_999
"""Greater numbers are treated as degenerate output: nothing in an image is counted or measured in them."""

MOST_LABELS = 500
"""A longer list without marks is not taken for options: any words may be answered."""

Shape = Literal["list", "object", ""]

# A mark is a letter or a number, alone, in one of the styles `A:`, `A)`, `A.`, `(A)`.
_MARK = re.compile(r"(?<![\w.\-])\(?([A-Za-z]|[0-9]{1,2})\s?([:.)])(?!\d)(?=\s*[^\s:.)])")
_FIRST_MARKS = ("A", "a", "1")
_LONGEST_MARK = len("(10) ")
# A question of fact, not a request ("Can you name ...?").
_FACT = re.compile(r"(?:is|are|was|were|does|do|did|has|have|had|should|(?:can|could)(?! you))\b.*\?$", re.IGNORECASE)
_WORD = re.compile(r"[\w-]+")
_EITHER = re.compile(r"(.*) or (?:an? |the )?([\w-]+)\?", re.IGNORECASE)
_THERE = re.compile(r"\b(?:is|are|was|were) there\b", re.IGNORECASE)
_BRACKETED = re.compile(r"[(\[{](?!e\.g|i\.e|such as|for example)([^()\[\]{}]*+)[)\]}]")
_DIVIDER = re.compile(r"[,;/|]")
_HEADING = re.compile(r"\b(?:question|task|instruction|note|q)$", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\b(?:all that apply|(?:every|each|any) [a-z]+ that applies|(?:select|choose|list|name) (?:all|every)|one or more|"
    r"semicolons?|comma-separated|(?:multiple|several) (?:selections|answers|options|labels|choices|are|may|can))\b",
    re.IGNORECASE,
)
_KEYS, _VALUES = re.compile(r"\bkeys?\b"), re.compile(r"\bvalues?\b")
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
        count_range: Least and greatest plausible count.
    """

    question: str
    image_size: tuple[int, int] | None = None
    box_space: BoxSpace = "pixel"
    value_range: tuple[float, float] = (-GREATEST, GREATEST)
    count_range: tuple[int, int] = (0, GREATEST)

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
            if 1 < len(labels) <= MOST_LABELS:
                return labels
        last = re.split(r"(?<=[.:!?])\s+(?=\S)", self.line)[-1]
        fact = _FACT.match(last)
        either = _either(last)
        if either and (either.after_comma or (fact and not _THERE.match(last))):
            return either.words
        return ("Yes", "No") if fact else ()

    @cached_property
    def options_start(self) -> int:
        """Where the options begin in `question`, their marks included; the text's length if it lists none."""
        places = [place for label in self.labels if (place := self.question.rfind(label)) >= 0]
        return max(min(places) - _LONGEST_MARK, 0) if places else len(self.question)

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
        key = _KEYS.search(text)
        if "{" in text or re.search(r"\bjson\b", text) or (key and _VALUES.search(text, key.end())):
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
        return listed + [match[1] for match in _BRACKETED.finditer(self.line) if _DIVIDER.search(match[1])]


class _Marks(NamedTuple):
    """A mark, the run of those after it, and how many they are together."""

    mark: re.Match[str]
    follower: _Marks | None
    length: int


class _Either(NamedTuple):
    """The two words of `x or y?`, and whether a comma stands before them."""

    words: tuple[str, str]
    after_comma: bool


def _either(sentence: str) -> _Either | None:
    """What a sentence that ends with `x or y?` offers."""
    found = _EITHER.fullmatch(sentence)
    word = _WORD.match(found[1][::-1]) if found else None  # searching for the last one would take long
    if found is None or word is None:
        return None
    before, first = found[1][: -word.end()], found[1][-word.end() :]
    if before.lower().endswith("either "):
        before = before[: -len("either ")]
    return _Either((first, found[2]), before.rstrip().endswith(","))


def _options_from(line: str, first: str) -> dict[str, str]:
    """The longest run of marks in order, all in the style of its first; the later of two equally long ones."""
    # From the last mark to the first: what follows each, and how many marks there are from it on.
    nearest: dict[tuple[str, str], _Marks] = {}
    best: _Marks | None = None
    for mark in reversed(list(_MARK.finditer(line))):
        follower = nearest.get((_after(mark[1]), mark[2]))
        here = nearest[mark[1], mark[2]] = _Marks(mark, follower, 1 + (follower.length if follower else 0))
        if mark[1] == first and (best is None or here.length > best.length):
            best = here
    run: list[re.Match[str]] = []
    while best:
        run.append(best.mark)
        best = best.follower
    ends = [*(mark.start() for mark in run[1:]), len(line)]
    texts = [line[mark.end() : end].strip(" ,;|") for mark, end in zip(run, ends, strict=False)]
    return {mark[1]: text for mark, text in zip(run, texts, strict=True)} if all(texts) else {}


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
