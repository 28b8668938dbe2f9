"""Several labels out of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import REFUSES, Refusal, TypedAnswer, Unparsable
from mevlip.answers.clean import plain, unwrap
from mevlip.answers.conclusions import conclusions, is_summary
from mevlip.answers.denial import is_denying_heading
from mevlip.answers.grammar import Grammar, SomeOf
from mevlip.answers.matching import closest, contained, mentioned, same
from mevlip.answers.question_spec import QuestionSpec
from mevlip.answers.refusals import refuses
from mevlip.core.text import one_line

_LISTED = re.compile(r"(?m)^[^\S\n]*+(?:[-*•]|\d{1,2}[.)])\s+")
# "A and D", "options B, C apply", but not "A dark spot".
_LETTERS = re.compile(
    r"(?:options?\s|letters?\s|choices?\s|both\s)?[(\[]?[A-Z][)\].]?(?:(?:\s*+[,;/&]\s*+(?:and\s++)?|\s++and\s++)[(\[]?[A-Z][)\].]?(?![\w'-]))*+"
    r"(?=\s*+(?:[.,;]?\s*+\Z|[,.;]?\s*+(?:appl|because|since|as\b|are\b|is\b|given|due)))",
    re.IGNORECASE,
)
_OR_AFTER_SEMICOLON = re.compile(r";\s*+n?or\b", re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n\s*\n")
_BETWEEN = re.compile(r"[\s,;|/.&\[\]\"'()*\u2022-]*+(?:and\s++)?")
_REMARK = re.compile(r"\W*(?:note|please|explanation|reason|disclaimer|because|this|these)", re.IGNORECASE)
_ADDED = re.compile(r"\b(?:also|additionally|furthermore|moreover)\b", re.IGNORECASE)
_MOST_ADDED = 10
_MOST_FREE_LABELS = 20
_MOST_PIECES = 200  # of a text that names labels; a longer one has lost its thread


@dataclass(frozen=True)
class LabelSet(TypedAnswer):
    """Chosen labels, without repetition, in the question's order where it has one, and what stands between them."""

    labels: tuple[str, ...]
    separator: str = "; "

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts exact labels of the question joined by its separator; any labels where the question lists none."""
        mark = spec.separator.strip()
        # A lone label that holds the separator itself is one label.
        parts = [text.strip()] if text.strip() in spec.labels else [part.strip() for part in text.split(mark)]
        if not spec.labels and refuses(text):
            raise Unparsable(REFUSES)
        if not all(part and part == one_line(part) for part in parts):
            raise Unparsable("has an empty label or one with a line break")
        if spec.labels and not set(parts) <= set(spec.labels):
            raise Unparsable("has a label that the question does not list")
        if len(set(parts)) < len(parts):
            raise Unparsable("repeats a label")
        return cls(_in_order(parts, spec), spec.separator)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts labels in other case or with a full stop, letters, lists, sentences; drops unknown and denied labels.

        Labels that the text concludes with count alone.
        """
        if not spec.labels:
            known = _free_labels(text, spec)
        else:
            said = plain(text).strip()
            known = _concluded(said, spec)
            if not known and refuses(said, spec.labels):
                raise Refusal
            known = known or _named(said, spec)
        if not known:
            raise Unparsable("has none of the question's labels")
        return cls(_in_order(known, spec), spec.separator)

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """The question's first label."""
        return cls(spec.labels[:1], spec.separator) if spec.labels else None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """Labels of the question, each once; free where it lists none."""
        return SomeOf(spec.labels, spec.separator) if spec.labels else None

    def format(self) -> str:
        """Full labels joined by the separator."""
        return self.separator.join(self.labels)


def _in_order(labels: Iterable[str], spec: QuestionSpec) -> tuple[str, ...]:
    """Each label once, in the question's order; unlisted ones in their own."""
    once = tuple(dict.fromkeys(labels))
    if not spec.labels:
        return once
    places = {label: place for place, label in enumerate(spec.labels)}
    return tuple(sorted(once, key=places.__getitem__))


def _free_labels(text: str, spec: QuestionSpec) -> list[str]:
    said = _LISTED.sub("", unwrap(text)).strip("[]{}() \n")
    if refuses(said):
        raise Refusal
    parts = [one_line(part).strip("\"'. ") for part in re.split(rf"[\n{spec.separator.strip()}]", said)]
    return [part for part in parts if part][:_MOST_FREE_LABELS]


def _concluded(said: str, spec: QuestionSpec) -> list[str]:
    """The labels a text states as its answer: in its last final conclusion, else its last one, else its last lines."""
    stated = [one for one in conclusions(said) if not one.inferred or is_summary(one, said)]
    for one in reversed([one for one in stated if one.final] or stated):
        if found := _named(one.part, spec):
            after = [] if one.final else re.split(r"[.!?\n]", said[one.end :])
            added = [sentence for sentence in after if _ADDED.search(sentence)][:_MOST_ADDED]
            return found + [label for sentence in added for label in _named(sentence, spec)]
    blocks = _BLANK_LINE.split(said)
    if len(blocks) > 1 and _is_list(blocks[-1], spec):
        return _named(blocks[-1], spec)
    if len(blocks) > 1 and _is_list(blocks[0], spec) and (_REMARK.match(blocks[1]) or refuses("\n".join(blocks[1:]))):
        return _named(blocks[0], spec)
    return []


def _is_list(block: str, spec: QuestionSpec) -> bool:
    """Whether a paragraph is nothing but labels and what stands between them."""
    line, named = mentioned(_LISTED.sub("", block), spec.labels)
    ends = [0, *(end for _, end, _ in named)]
    gaps = [line[end:start] for end, start in zip(ends, [*(start for start, _, _ in named), len(line)], strict=True)]
    return bool(named) and all(_BETWEEN.fullmatch(gap) for gap in gaps)


def _named(said: str, spec: QuestionSpec) -> list[str]:
    """The labels that a text names and does not deny."""
    lines = _LISTED.sub("", said).strip("[]{}() \n").split("\n")
    # "no sign of x; y; or z" is one list.
    listed = "\n".join(line.replace(";", ",") if _OR_AFTER_SEMICOLON.search(line) else line for line in lines)
    if letters := _letters(listed, spec):
        return letters
    found, denying = [], False
    for part in _distinct(re.split(r"[;\n|]", listed)):
        if part.rstrip().endswith(":"):
            denying = is_denying_heading(part.rstrip())
        elif not denying:
            found += _labels_of(part, spec)
    return found


def _letters(part: str, spec: QuestionSpec) -> list[str]:
    """The labels of a list of marks and nothing else, or one that something is said of."""
    match = _LETTERS.match(part) if spec.options else None
    marks = re.findall(r"\b[A-Z]\b", match[0]) if match else []
    if not marks or not all(mark in spec.options for mark in marks):
        return []
    return [spec.options[mark] for mark in marks]


def _distinct(pieces: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(pieces))[:_MOST_PIECES]


def _labels_of(part: str, spec: QuestionSpec) -> list[str]:
    """Labels of a text without semicolons: it is one, or names some, or each piece between commas means one."""
    if label := same(part, spec.labels):
        return [label]
    if mentioned(part, spec.labels)[1]:
        return [label for _, label in contained(part, spec.labels)]
    pieces = _distinct(piece.strip(" \"'.()[]") for piece in re.split(r",| and ", part))
    if spec.options and all(piece in spec.options for piece in pieces):
        return [spec.options[piece] for piece in pieces]
    return [label for piece in pieces if (label := closest(piece, spec.labels))]
