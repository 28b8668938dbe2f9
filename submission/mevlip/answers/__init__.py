"""Answers as types: a model's text is parsed against its question, and only then becomes the Answer string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mevlip.answers.base import TypedAnswer, Unparsable
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.grammar import Grammar
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip.answers.question_spec import QuestionSpec
from mevlip.answers.report import Report
from mevlip.tasks import TASKS, AnswerType, TaskType

__all__ = [
    "ANSWER_CLASSES",
    "STAGES",
    "ParsedAnswer",
    "QuestionSpec",
    "Stage",
    "TypedAnswer",
    "answer_class",
    "fallback_answer",
    "grammar_of",
    "read_answer",
]  # fmt: skip

ANSWER_CLASSES: dict[AnswerType, type[TypedAnswer]] = {
    "choice": Choice,
    "label_set": LabelSet,
    "boxes": Boxes,
    "instance_boxes": InstanceBoxes,
    "count": Count,
    "measurement": Measurement,
    "report": Report,
}
"""The class of each answer type named in the task table."""

Stage = Literal["strict", "tolerant", "repaired", "fallback"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""How an answer came about, the best way first."""


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer and how it came about.

    Attributes:
        text: The Answer string.
        stage: `strict` where the model's text followed the grammar, `tolerant` where it left no doubt about what was
            meant, `repaired` where its syntax had to be mended, `fallback` where it said nothing of use.
        reason: Why it was not strict; empty otherwise.
    """

    text: str
    stage: Stage
    reason: str = ""


def answer_class(task: TaskType) -> type[TypedAnswer]:
    """The class of a task's answers."""
    return ANSWER_CLASSES[TASKS[task].answer_type]


def read_answer(task: TaskType, text: str, spec: QuestionSpec) -> ParsedAnswer:
    """Turns a model's text into the Answer string by the first stage that can; the last can always."""
    kind = answer_class(task)
    stages = (("strict", kind.parse), ("tolerant", kind.parse_tolerantly), ("repaired", kind.repair))
    reason = ""
    for stage, read in stages:
        try:
            return ParsedAnswer(read(text, spec).format(), stage, reason)  # type: ignore[arg-type]  # str literals
        except Unparsable as error:
            reason = reason or f"the model's text is {error}"
    return fallback_answer(task, spec, reason)


def fallback_answer(task: TaskType, spec: QuestionSpec, reason: str) -> ParsedAnswer:
    """A legal answer from the question alone."""
    answer = answer_class(task).fallback(spec)
    return ParsedAnswer(answer.format() if answer else TASKS[task].fallback, "fallback", reason)


def grammar_of(task: TaskType, spec: QuestionSpec) -> Grammar | None:
    """What a model may say in answer to a question; None where anything goes."""
    return answer_class(task).grammar(spec)
