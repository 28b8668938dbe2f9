"""Counts and measurements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from submission.answers.base import Answer, Unparsable
from submission.answers.form import Form

_COUNT = re.compile(r"0|[1-9][0-9]{0,5}")
_MEASUREMENT = re.compile(r"-?(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,15})?")


@dataclass(frozen=True)
class Count(Answer):
    """A number of things, below a million."""

    value: int

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts bare digits."""
        if not _COUNT.fullmatch(text.strip()):
            raise Unparsable("no bare whole number below a million")
        return cls(int(text))

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """None: the question says nothing about the number."""
        return None

    def format(self) -> str:
        """Bare digits."""
        return str(self.value)


@dataclass(frozen=True)
class Measurement(Answer):
    """A measured quantity without its unit, between minus and plus a million."""

    value: float

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts a bare decimal number without exponent."""
        if not _MEASUREMENT.fullmatch(text.strip()):
            raise Unparsable("no bare decimal number between minus and plus a million")
        return cls(float(text))

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """None: the question says nothing about the number."""
        return None

    def format(self) -> str:
        """The shortest decimal that reads back as the same number, never with an exponent."""
        return format(Decimal(repr(self.value)), "f")
