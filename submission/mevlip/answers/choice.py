"""One option of a closed question."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from mevlip.answers.base import REFUSES, Refusal, TypedAnswer, Unparsable
from mevlip.answers.clean import plain, unwrap
from mevlip.answers.conclusions import conclusions
from mevlip.answers.grammar import Grammar, OneOf
from mevlip.answers.matching import closest, contained, fold_label, same
from mevlip.answers.options import (
    NOTHING,
    Meaning,
    leading,
    lone_letters,
    meaning_of,
    named_marks,
    named_texts,
    own_mark,
    text_after,
    texts_in,
    value_of,
    walked,
)  # fmt: skip
from mevlip.answers.question_spec import QuestionSpec
from mevlip.answers.refusals import refuses
from mevlip.core.text import one_line

_LETTERS_ONLY = re.compile(r"[(\[]?([A-Z])[)\].]?(?:(?:\s*[,;/&+]\s*|\s+(?:and\s+)?)[(\[]?[A-Z][)\].]?)+")
_DOUBT = re.compile(
    r"\b(?:(?:could|might|may)(?: \w+)? be|or (?:maybe|perhaps|possibly|even)|alternatively|equally)\b", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|\n|\Z")
_LEADING_TEXT = re.compile(r"[^.,;:!\n\u2013\u2014]{1,200}(?=[.,;:!\n\u2013\u2014])")
_FIRST_OF_SEVERAL = re.compile(r"[(\[]?[A-Z][)\].]?\s*+(?:,|/|&|and\b|or\b)\s*+[(\[]?[A-Z]\b(?!')")
_LONGEST_FREE_TEXT = 100
_FEWEST_WORDS = 3  # between two conclusions, for the later one to follow from more than the earlier


class _Statement(NamedTuple):
    """An answer that a text states, and where; a final one outweighs others."""

    start: int
    end: int
    meaning: Meaning
    final: bool


@dataclass(frozen=True)
class Choice(TypedAnswer):
    """A chosen option: its letter where the question letters its options, else its text."""

    value: str
    note: str = field(default="", compare=False)

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
        if refuses(value):
            raise Unparsable(REFUSES)
        return cls(value)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts an option that the text is, states or concludes, else the only one that it mentions and not denies.

        Of several statements the last one counts, a final one before others; see `docs/answers.md`.
        """
        whole, said = unwrap(text), plain(text).strip()
        if not spec.labels:
            return cls.parse(one_line(_last_part(said) or whole)[:_LONGEST_FREE_TEXT], spec)
        found = _whole(whole, spec)
        if not found.values:
            found = _stated(said, spec)
        if not found.values and refuses(said, spec.labels):
            raise Refusal
        if not found.values:
            found = _mentioned(said, spec)
        if len(found.values) != 1:
            raise Unparsable("does not name a single option of the question")
        [value] = found.values
        return cls(value, found.note)

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


def _last_part(said: str) -> str:
    return next((one.part.strip(" .\"'}") for one in reversed(conclusions(said)) if one.part.strip(" .\"'}")), "")


def _whole(whole: str, spec: QuestionSpec) -> Meaning:
    """A text that is an option and nothing else; of several letters and nothing else the first counts."""
    letters = _LETTERS_ONLY.fullmatch(whole)
    if letters and letters[1] in spec.options:
        return Meaning(frozenset(letters[1]))
    mark = own_mark(whole.strip("()[].:*\"' "), spec)
    label = same(whole, spec.labels)
    value = mark or (value_of(label, spec) if label else None)
    return Meaning(frozenset((value,))) if value else NOTHING


def _stated(said: str, spec: QuestionSpec) -> Meaning:
    """What a text states, where it leaves that open: several options; nothing where it states none."""
    statements = _statements(said, spec)
    counted = [one for one in statements if one.final] or statements
    if not counted:
        return NOTHING
    last = counted[-1]
    if len(last.meaning.values) > 1:
        return last.meaning
    for before in reversed(counted[:-1]):
        if before.meaning.values == last.meaning.values:
            break
        between = said[before.end : last.start]
        if len(re.findall(r"\w+", between)) < _FEWEST_WORDS:
            return Meaning(before.meaning.values | last.meaning.values)
        break
    return Meaning(last.meaning.values | _doubted(said[last.end :], spec), last.meaning.note)


def _statements(said: str, spec: QuestionSpec) -> list[_Statement]:
    """Everything that a text states: its beginning, its conclusions, its last line."""
    concluded = conclusions(said)
    found = []
    for one in concluded:
        meaning = meaning_of(one.part, spec)
        # "So A or B ..." is one more thought.
        if meaning.values and not (one.inferred and len(meaning.values) > 1):
            found.append(_Statement(one.start, one.end, meaning, one.final))
    if not _is_walk(said, spec):
        found = [*_first_and_last(said, spec, found), *found]
        found.sort(key=lambda one: one.start)
    return found


def _first_and_last(said: str, spec: QuestionSpec, concluded: list[_Statement]) -> list[_Statement]:
    found = []
    start = concluded[0].start if concluded else len(said)
    if start > 0 and (meaning := _led(said, spec)):
        found.append(_Statement(0, 1, meaning, final=False))
    line_start = said.rfind("\n") + 1
    if line_start > (concluded[-1].end if concluded else 0):
        line = said[line_start:]
        meaning = _whole(line, spec) if len(line) <= 400 else NOTHING
        if not meaning.values:
            led = leading(line.strip(), spec) if len(line) <= 400 else None
            meaning = led if led and text_after(line.strip()[1:].lstrip(").:] "), spec) else NOTHING
        if meaning.values:
            found.append(_Statement(line_start, len(said), meaning, final=False))
    return found


def _led(said: str, spec: QuestionSpec) -> Meaning | None:
    """What the beginning of a text means: a mark, or an option's text before a stop."""
    if led := leading(said, spec):
        return None if _FIRST_OF_SEVERAL.match(said) else led
    line = said.split("\n", 1)[0]
    not_meant = set(spec.labels) - {label for _, label in contained(line, spec.labels)}
    if (
        len(line) <= 400
        and (label := closest(line, spec.labels))
        and not (label in not_meant and fold_label(label) in line.casefold())
    ):
        return Meaning(frozenset((value_of(label, spec),)))
    head = _LEADING_TEXT.match(said)
    label = same(head[0], spec.labels) if head else None
    return Meaning(frozenset((value_of(label, spec),))) if label else None


def _is_walk(said: str, spec: QuestionSpec) -> bool:
    """Whether a text goes through several options one by one, so that its beginning states nothing."""
    return len({mark for mark, _ in walked(said, spec)}) > 1


def _doubted(after: str, spec: QuestionSpec) -> frozenset[str]:
    """Options that a text calls possible after it has stated another."""
    found: frozenset[str] = frozenset()
    for doubt in list(_DOUBT.finditer(after))[:20]:
        end = _SENTENCE_END.search(after, doubt.end()).start()  # type: ignore[union-attr]
        found |= meaning_of(after[doubt.end() : end], spec).values
    return found


def _mentioned(said: str, spec: QuestionSpec) -> Meaning:
    """The only option that a text mentions without denying it: by a named mark, else a letter, else its text."""
    if _is_walk(said, spec):
        left = [mark for mark, rest in walked(said, spec) if not _is_refuted(rest)]
        return Meaning(frozenset(left)) if len(left) == 1 else NOTHING
    for found in (named_marks(said, spec), lone_letters(said, spec), _texts(said, spec)):
        if found:
            return Meaning(found)
    return NOTHING


def _texts(said: str, spec: QuestionSpec) -> frozenset[str]:
    """Options by their texts; of a single sentence its predicate is enough, as in "the lesion is malignant"."""
    alone = len(said) <= 200 and not re.search(r"[.!?]\s|\n", said)
    return named_texts(said, spec) if alone else texts_in(said, spec)


def _is_refuted(rest: str) -> bool:
    line = rest.split("\n", 1)[0]
    return bool(re.search(r"\b(?:no|not|n't|unlikely|incorrect|wrong|excluded|absent)\b|n't\b", line))
