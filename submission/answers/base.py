"""What every answer type has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from submission.answers.form import Form


class Unparsable(ValueError):
    """A model's text that is no answer of the wanted type; says why, without quoting it."""


class Answer(ABC):
    """A typed answer. Subclasses are frozen dataclasses."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str, form: Form) -> Self:
        """Reads a model's text.

        Raises:
            Unparsable: The text does not follow the type's grammar.
        """

    @classmethod
    @abstractmethod
    def fallback(cls, form: Form) -> Self | None:
        """A legal answer made from the question alone, or None where the task table's has to do."""

    @abstractmethod
    def format(self) -> str:
        """The Answer string that every public evaluator reads as meant; one line, never empty."""
