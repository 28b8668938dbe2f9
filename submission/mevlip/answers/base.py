"""What every answer type has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from mevlip.answers.grammar import Grammar
from mevlip.answers.question_spec import QuestionSpec


class Unparsable(ValueError):
    """A model's text that is not an answer of the wanted type; says why, as a predicate, without quoting it."""


REFUSES = "refuses to answer"
"""Why a text that refuses is not an answer."""


class Refusal(Unparsable):
    """A model's text that refuses to answer: whatever else it mentions is not its answer."""

    def __init__(self) -> None:
        super().__init__(REFUSES)


class TypedAnswer(ABC):
    """A typed answer. Subclasses are frozen dataclasses.

    Attributes:
        note: What was remarkable about the text it was read from; mostly empty.
    """

    note: str = ""

    @classmethod
    @abstractmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Reads a text that follows the type's grammar; what `format` writes is read back as the same answer.

        Raises:
            Unparsable: The text does not follow the grammar.
        """

    @classmethod
    @abstractmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Reads a text that leaves no doubt about what is meant, however it is put.

        Raises:
            Unparsable: Nothing is meant, or more than one thing may be.
        """

    @classmethod
    def repair(cls, text: str, spec: QuestionSpec) -> Self:
        """Reads a text after repairing its syntax.

        Raises:
            Unparsable: It cannot be repaired, or the type does not guess.
        """
        raise Unparsable("cannot be repaired")

    @classmethod
    @abstractmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """A legal answer made from the question alone, or None where the task table's has to do."""

    @classmethod
    @abstractmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """What constrained decoding allows the model to say, or None where nothing can be said about it."""

    @abstractmethod
    def format(self) -> str:
        """The Answer string that every public evaluator reads as meant; one line, never empty."""
