"""Free text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from submission.answers.base import Answer, Unparsable
from submission.answers.form import Form

UNDECODABLE = "\ufffd"
"""What tokenizers write for bytes that are no UTF-8."""


@dataclass(frozen=True)
class Report(Answer):
    """A report on one line."""

    text: str

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts any text with a visible character.

        Line breaks, control characters and bytes that were no text become blanks, and runs of blanks become one.
        """
        line = " ".join("".join(char if char.isprintable() and char != UNDECODABLE else " " for char in text).split())
        if not line:
            raise Unparsable("no visible text")
        return cls(line)

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """None: the question says nothing about the finding."""
        return None

    def format(self) -> str:
        """The line."""
        return self.text
