"""One option of a closed question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from submission.answers.base import Answer, Unparsable
from submission.answers.form import Form


@dataclass(frozen=True)
class Choice(Answer):
    """A chosen option: its letter where the question letters its options, else its text."""

    value: str

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts a bare letter of the question, or an option's exact text."""
        value = text.strip()
        if form.options:
            if value in form.options:
                return cls(value)
            for letter, option in form.options.items():
                if value == option:
                    return cls(letter)
            raise Unparsable("neither a letter nor the text of an option")
        if re.fullmatch(r"[A-Z]", value) or value in ("Yes", "No"):
            return cls(value)
        if value in form.labels:
            return cls(value)
        raise Unparsable("no option of the question")

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """The question's first option."""
        for value in (*form.options, *form.labels):
            return cls(value)
        return None

    def format(self) -> str:
        """The letter or the text, bare."""
        return self.value
