"""Counts and measurements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.grammar import Grammar, Lark, up_to
from mevlip.answers.number_texts import find_number
from mevlip.answers.question_spec import GREATEST, QuestionSpec

_COUNT = rf"(?:0|[1-9][0-9]{{0,{len(str(GREATEST)) - 1}}})"
_MEASUREMENT = rf"{_COUNT}(?:\.[0-9]{{1,15}})?"


@dataclass(frozen=True)
class Count(TypedAnswer):
    """A number of things, within the question's plausible range."""

    value: int

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts bare digits of a number in the plausible range."""
        if not re.fullmatch(_COUNT, text.strip(), re.ASCII):
            raise Unparsable("is not a bare whole number below a million")
        value = int(text)
        if not spec.count_range[0] <= value <= spec.count_range[1]:
            raise Unparsable("is a count outside the plausible range")
        return cls(value)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a number in a sentence, as a decimal, with an exponent, a range or a word; clamps it."""
        value = find_number(text, spec)
        if value < 0:
            raise Unparsable("is a negative count")
        low, high = spec.count_range
        return cls(min(max(round(value), low), high))

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """None: the question says nothing about the number."""
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """A whole number up to the greatest plausible one."""
        return Lark(f"start: /{up_to(spec.count_range[1])}/")

    def format(self) -> str:
        """Bare digits."""
        return str(self.value)


@dataclass(frozen=True)
class Measurement(TypedAnswer):
    """A measured quantity without its unit, within the question's plausible range."""

    value: float

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a bare decimal number without exponent in the plausible range."""
        if not re.fullmatch(f"-?{_MEASUREMENT}", text.strip(), re.ASCII):
            raise Unparsable("is not a bare decimal number between minus and plus a million")
        value = float(text)
        if not spec.value_range[0] <= value <= spec.value_range[1]:
            raise Unparsable("is a number outside the plausible range")
        return cls(value)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a number in a sentence, with a unit, separators, an exponent, or as a range; clamps it."""
        low, high = spec.value_range
        return cls(min(max(round(find_number(text, spec), 15), low), high))

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """None: the question says nothing about the number."""
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """A decimal number no further from zero than the plausible range, with a sign where that reaches below zero."""
        low, high = spec.value_range
        most = ceil(max(abs(low), abs(high)))
        below = rf"{up_to(most - 1)}(\.[0-9]{{1,15}})?|" if most else ""
        return Lark(f"start: /{'-?' if low < 0 else ''}({below}{most}(\\.0{{1,15}})?)/")

    def format(self) -> str:
        """The shortest decimal that reads back as the same number, never with an exponent."""
        return format(Decimal(repr(self.value)), "f")
