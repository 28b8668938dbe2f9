"""Several labels out of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from submission.answers.base import Answer, Unparsable
from submission.answers.form import Form


@dataclass(frozen=True)
class LabelSet(Answer):
    """Chosen labels, without repetition, and what stands between them."""

    labels: tuple[str, ...]
    separator: str = "; "

    @classmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Accepts exact labels of the question joined by its separator; any labels where the question lists none."""
        mark = form.separator.strip()
        # A lone label that holds the separator itself is one label.
        parts = [text.strip()] if text.strip() in form.labels else [part.strip() for part in text.split(mark)]
        if not all(part and part.isprintable() for part in parts):
            raise Unparsable("an empty label or one with a line break")
        if form.labels and not set(parts) <= set(form.labels):
            raise Unparsable("a label that the question does not list")
        if len(set(parts)) < len(parts):
            raise Unparsable("a repeated label")
        return cls(tuple(parts), form.separator)

    @classmethod
    def fallback(cls, form: Form) -> Self | None:
        """The question's first label."""
        return cls(form.labels[:1], form.separator) if form.labels else None

    def format(self) -> str:
        """Full labels joined by the separator."""
        return self.separator.join(self.labels)
