"""Several labels out of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.clean import unwrap
from mevlip.answers.grammar import Grammar, SomeOf
from mevlip.answers.matching import closest, contained, same
from mevlip.answers.question_spec import QuestionSpec
from mevlip.core.text import one_line

_LISTED = re.compile(r"(?m)^[^\S\n]*+(?:[-*•]|\d{1,2}[.)])\s+")
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
        if not all(part and part == one_line(part) for part in parts):
            raise Unparsable("has an empty label or one with a line break")
        if spec.labels and not set(parts) <= set(spec.labels):
            raise Unparsable("has a label that the question does not list")
        if len(set(parts)) < len(parts):
            raise Unparsable("repeats a label")
        return cls(_in_order(parts, spec), spec.separator)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts labels in other case or with a full stop, letters, lists, sentences; drops unknown labels."""
        said = _LISTED.sub("", unwrap(text)).strip("[]{}() \n")
        if not spec.labels:
            parts = [one_line(part).strip("\"'. ") for part in re.split(rf"[\n{spec.separator.strip()}]", said)]
            known = [part for part in parts if part][:_MOST_FREE_LABELS]
        else:
            known = [label for part in _distinct(re.split(r"[;\n|]", said)) for label in _labels_of(part, spec)]
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


def _distinct(pieces: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(pieces))[:_MOST_PIECES]


def _labels_of(part: str, spec: QuestionSpec) -> list[str]:
    """Labels of a text without semicolons: it is one, or names some, or each piece between commas means one."""
    if label := same(part, spec.labels):
        return [label]
    if inside := [label for _, label in contained(part, spec.labels)]:
        return inside
    pieces = _distinct(piece.strip(" \"'.()[]") for piece in re.split(r",| and ", part))
    if spec.options and all(piece in spec.options for piece in pieces):
        return [spec.options[piece] for piece in pieces]
    return [label for piece in pieces if (label := closest(piece, spec.labels))]
