"""One option of a closed question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.clean import unwrap
from mevlip.answers.grammar import Grammar, OneOf
from mevlip.answers.matching import closest, contained, fold_label
from mevlip.answers.question_spec import QuestionSpec
from mevlip.core.text import one_line

_MARKED = re.compile(r"\A[(\[]?([A-Za-z]|\d{1,2})(?:\s*[)\].:,;-]+(?=\s|\Z|[A-Z])|\s*\Z)\s*(.*)\Z", re.DOTALL)
_NAMED = re.compile(
    r"\b(?:answer|option|choice|letter)\b(?:\s+is)?\s*+[:=]?\s*+\W{0,3}([A-Z])\b(?!')|\\boxed\{([A-Z])\}"
)
_ALONE = re.compile(r"(?<![\w'-])([A-Z])(?![\w'-])")
_LETTERS_ONLY = re.compile(r"[(\[]?([A-Z])[)\].]?(?:(?:\s*[,;/&+]\s*|\s+(?:and\s+)?)[(\[]?[A-Z][)\].]?)+")
_LONGEST_FREE_TEXT = 100


@dataclass(frozen=True)
class Choice(TypedAnswer):
    """A chosen option: its letter where the question letters its options, else its text."""

    value: str

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a bare mark of the question; without marks an option's exact text; without options a short line."""
        value = text.strip()
        if spec.options or spec.labels:
            if value in (spec.options or spec.labels):
                return cls(value)
            raise Unparsable("is neither a letter nor the text of an option" if spec.labels else "is not an option")
        if not value or value != one_line(value) or len(value) > _LONGEST_FREE_TEXT:
            raise Unparsable("is not one short line")
        return cls(value)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a letter with more text, an option's text in other words, and a sentence that names one option."""
        said = unwrap(text)
        if not spec.labels:
            return cls.parse(one_line(said)[:_LONGEST_FREE_TEXT], spec)
        found = _by_mark(said, spec) or _by_text(said, spec) or _by_letter_inside(said, spec)
        if found is None:
            raise Unparsable("does not name a single option of the question")
        return cls(found)

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """The question's first option."""
        for value in (*spec.options, *spec.labels):
            return cls(value)
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """One of the letters or texts; free where the question shows no options."""
        allowed = tuple(spec.options or spec.labels)
        return OneOf(allowed) if allowed else None

    def format(self) -> str:
        """The letter or the text, bare."""
        return self.value


def _by_mark(said: str, spec: QuestionSpec) -> str | None:
    """A mark at the beginning, alone or before more text; before another option's text it counts for nothing.

    Of several letters and nothing else the first counts.
    """
    match = _LETTERS_ONLY.fullmatch(said)
    if match and match[1] in spec.options:
        return match[1]
    match = _MARKED.match(said)
    if match is None:
        return None
    mark = next((own for own in spec.options if own.casefold() == match[1].casefold()), None)
    rest = match[2].strip()
    others = {fold_label(option) for own, option in spec.options.items() if own != mark}
    # "a benign lesion": the article, not the letter.
    if mark is None or (rest and fold_label(rest) in others):
        return None
    return mark


def _by_text(said: str, spec: QuestionSpec) -> str | None:
    """An option's text: the whole answer, its first line, or the only one in a sentence."""
    for part in (said, said.split("\n")[0], *(m[2] for m in [_MARKED.match(said)] if m)):
        if label := closest(part, spec.labels):
            return _value(label, spec)
    named = {label for _, label in contained(said, spec.labels)}
    return _value(named.pop(), spec) if len(named) == 1 else None


def _by_letter_inside(said: str, spec: QuestionSpec) -> str | None:
    """A letter that the text calls its answer, else the only capital letter that stands alone and is an option's."""
    for match in _NAMED.finditer(said):
        letter = match[1] or match[2]
        if letter in spec.options:
            return letter
    alone = {m[1] for m in _ALONE.finditer(said) if m[1] in spec.options and not (m[1] == "A" and _is_article(said, m))}
    return alone.pop() if len(alone) == 1 else None


def _is_article(said: str, match: re.Match[str]) -> bool:
    return bool(re.match(r" [a-z]", said[match.end() : match.end() + 2]))


def _value(label: str, spec: QuestionSpec) -> str:
    return next((mark for mark, option in spec.options.items() if option == label), label)
