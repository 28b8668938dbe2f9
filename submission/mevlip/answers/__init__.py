"""Answers as types: a model's text is parsed against its question, and only then becomes the Answer string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mevlip.answers.base import Refusal, TypedAnswer, Unparsable
from mevlip.answers.question_spec import QuestionSpec

__all__ = ["STAGES", "ParsedAnswer", "QuestionSpec", "Refusal", "Stage", "TypedAnswer", "Unparsable"]

Stage = Literal["strict", "tolerant", "repaired", "fallback"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""How an answer came about, the best way first."""


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer and how it came about.

    Attributes:
        text: The Answer string.
        stage: `strict` where the model's text followed the grammar, `tolerant` where it left no doubt about what was
            meant, `repaired` where its syntax had to be repaired, `fallback` where it said nothing of use.
        reason: Why it was not strict, or what was remarkable about the text; empty where it was strict.
    """

    text: str
    stage: Stage
    reason: str = ""
