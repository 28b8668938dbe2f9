"""Free text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.clean import is_wrapped, unwrap
from mevlip.answers.grammar import Grammar, Lark
from mevlip.answers.question_spec import QuestionSpec
from mevlip.core.text import one_line

# Visible words with single blanks between them: what `one_line` would leave as it is.
_MOST_LAYERS = 20
_WORD = r"[^\p{C}\p{Z}\x{FFFD}]+"
_GRAMMAR = Lark(f"start: /{_WORD}( {_WORD})*/")


@dataclass(frozen=True)
class Report(TypedAnswer):
    """A report on one line."""

    text: str

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts one plain line without tags or fences."""
        line = text.strip()
        if not line:
            raise Unparsable("has no visible text")
        if line != one_line(line):
            raise Unparsable("is more than one plain line")
        if is_wrapped(line):
            raise Unparsable("is wrapped in tags or fences")
        return cls(line)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts any text with a visible character: unwrapped and put on one line."""
        line = one_line(unwrap(text))
        # What is left may have become a wrapping only now that it stands on one line.
        for _ in range(_MOST_LAYERS):
            if not is_wrapped(line) or line == (inner := one_line(unwrap(line))):
                break
            line = inner
        return cls.parse(line, spec)

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """None: the question says nothing about the finding."""
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """One line."""
        return _GRAMMAR

    def format(self) -> str:
        """The line."""
        return self.text
