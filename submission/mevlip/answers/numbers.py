"""Counts and measurements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.clean import unwrap
from mevlip.answers.grammar import Grammar, Lark, up_to
from mevlip.answers.question_spec import GREATEST, QuestionSpec

_COUNT = rf"(?:0|[1-9][0-9]{{0,{len(str(GREATEST)) - 1}}})"
_MEASUREMENT = rf"{_COUNT}(?:\.[0-9]{{1,15}})?"
_COUNT_GRAMMAR = Lark(f"start: /{_COUNT}/")

# Digits in groups of three, plain digits, or a fraction; then perhaps an exponent.
_NUMBER = (
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:[, \u00a0\u2009'\u202f]\d{3}){1,9}+(?:\.\d+)?(?!\d)|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:\s?(?:[eE]|[x\u00d7*]\s?10\s?\^\s?)[-+]?\d{1,3})?"
)
_ANY = re.compile(_NUMBER)
_RANGE = re.compile(rf"({_NUMBER})\s*(?:-|\u2013|\u2014|to|and)\s*({_NUMBER})")
_ANNOUNCED = re.compile(
    rf"(?:=|\b(?:is|are|of|total|totals?|count|about|approximately|around|roughly)\b:?)\s*+~?\s*+({_NUMBER})"
)

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORD_VALUES = (
    {word: value for value, word in enumerate(_ONES)}
    | {word: 10 * place for place, word in enumerate(_TENS, 2)}
    | {
        f"{ten}{mark}{one}": 10 * place + value
        for place, ten in enumerate(_TENS, 2)
        for value, one in enumerate(_ONES[1:10], 1)
        for mark in "- "
    }
    | {"none": 0, "no": 0, "hundred": 100, "a hundred": 100, "one hundred": 100, "dozen": 12, "a dozen": 12}
)
_WORD = re.compile(rf"\b(?:{'|'.join(sorted(_WORD_VALUES, key=len, reverse=True))})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Count(TypedAnswer):
    """A number of things, below a million."""

    value: int

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts bare digits."""
        if not re.fullmatch(_COUNT, text.strip(), re.ASCII):
            raise Unparsable("is not a bare whole number below a million")
        return cls(int(text))

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts a number in a sentence, with separators, as a decimal, with an exponent, as a range or a word."""
        value = _find(text, "")
        if value < 0:
            raise Unparsable("is a negative count")
        return cls(round(value))

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """None: the question says nothing about the number."""
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """Digits."""
        return _COUNT_GRAMMAR

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
        return cls(min(max(round(_find(text, spec.unit), 15), low), high))

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


def _find(text: str, unit: str) -> float:
    """The number a text gives as its answer.

    The first of: the whole text, a range (its middle), a number before its unit, a number after words that announce
    it, the first number, the first number word.

    Raises:
        Unparsable: There is no number, or one of a million or more.
    """
    said = unwrap(text)
    found: float | None = None
    if _ANY.fullmatch(said):
        found = _value(said)
    elif bounds := _RANGE.search(said):
        found = (_value(bounds[1]) + _value(bounds[2])) / 2
    elif unit and (measured := re.search(rf"({_NUMBER})\s*(?:{re.escape(unit)}|per ?cent|degrees?)", said)):
        found = _value(measured[1])
    elif announced := _ANNOUNCED.search(said):
        found = _value(announced[1])
    elif any_number := _ANY.search(said):
        found = _value(any_number[0])
    elif word := _WORD.search(said):
        found = float(_WORD_VALUES[word[0].lower()])
    if found is None:
        raise Unparsable("has no number")
    if not abs(found) <= GREATEST:
        raise Unparsable("is a number of a million or more")
    return found


def _value(number: str) -> float:
    """Reads a number; a lone comma is a decimal one unless three digits follow it."""
    text = re.sub(r"\s?[x\u00d7*]\s?10\s?\^\s?", "e", number.replace("\u2212", "-")).replace(" e", "e")
    text = re.sub(r"[, \u00a0\u2009'\u202f](?=\d{3}(?!\d))", "", text)
    return float(re.sub(r"\s", "", text).replace(",", "."))
