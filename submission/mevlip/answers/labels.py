"""Several labels out of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import Answer, Unparsable
from mevlip.answers.clean import one_line, unwrap
from mevlip.answers.form import Form
from mevlip.answers.grammar import Grammar, SomeOf
from mevlip.answers.matching import closest, contained, same

_LISTED = re.compile(r"(?m)^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_MOST_FREE_LABELS = 20


@dataclass(frozen=True)
class LabelSet(Answer):
    """Chosen labels, without repetition, in the question's order where it has one, and what stands between them."""

    labels: tuple[str, ...]
    separator: str = "; "

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts exact labels of the question joined by its separator; any labels where the question lists none."""
        mark = form.separator.strip()
        # A lone label that holds the separator itself is one label.
        parts = [text.strip()] if text.strip() in form.labels else [part.strip() for part in text.split(mark)]
        if not all(part and part == one_line(part) for part in parts):
            raise Unparsable("an empty label or one with a line break")
        if form.labels and not set(parts) <= set(form.labels):
            raise Unparsable("a label that the question does not list")
        if len(set(parts)) < len(parts):
            raise Unparsable("a repeated label")
        return cls(_in_order(parts, form), form.separator)

    @classmethod
    def parse_tolerantly(cls, text: str, form: Form) -> Self:
        """Accepts labels in other case or with a full stop, letters, lists, sentences; drops unknown labels."""
        said = _LISTED.sub("", unwrap(text)).strip("[]{}() \n")
        if not form.labels:
            parts = [one_line(part).strip("\"'. ") for part in re.split(rf"[\n{form.separator.strip()}]", said)]
            known = [part for part in parts if part][:_MOST_FREE_LABELS]
        else:
            known = [label for part in re.split(r"[;\n|]", said) for label in _labels_of(part, form)]
        if not known:
            raise Unparsable("none of the question's labels")
        return cls(_in_order(known, form), form.separator)

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """The question's first label."""
        return cls(form.labels[:1], form.separator) if form.labels else None

    @classmethod
    def grammar(cls, form: Form) -> Grammar | None:
        """Labels of the question, each once; free where it lists none."""
        return SomeOf(form.labels, form.separator) if form.labels else None

    def format(self) -> str:
        """Full labels joined by the separator."""
        return self.separator.join(self.labels)


def _in_order(labels: Iterable[str], form: Form) -> tuple[str, ...]:
    """Each label once, in the question's order; unlisted ones in their own."""
    once = tuple(dict.fromkeys(labels))
    return tuple(sorted(once, key=form.labels.index)) if form.labels else once


def _labels_of(part: str, form: Form) -> list[str]:
    """Labels of a text without semicolons: it is one, or names some, or each piece between commas means one."""
    if label := same(part, form.labels):
        return [label]
    if inside := [label for _, label in contained(part, form.labels)]:
        return inside
    pieces = [piece.strip(" \"'.()[]") for piece in re.split(r",| and ", part)]
    if form.options and all(piece in form.options for piece in pieces):
        return [form.options[piece] for piece in pieces]
    return [label for piece in pieces if (label := closest(piece, form.labels))]
