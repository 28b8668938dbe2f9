"""Answers as types: a model's text is parsed against its question, and only then becomes the Answer string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from submission.answers.base import Answer, Unparsable
from submission.answers.boxes import Boxes, InstanceBoxes
from submission.answers.choice import Choice
from submission.answers.form import Form
from submission.answers.labels import LabelSet
from submission.answers.numbers import Count, Measurement
from submission.answers.report import Report
from submission.tasks import TASKS, AnswerType, TaskType

__all__ = ["ANSWER_CLASSES", "Answer", "Form", "Outcome", "fallback_answer", "read_answer"]

ANSWER_CLASSES: dict[AnswerType, type[Answer]] = {
    "choice": Choice,
    "label_set": LabelSet,
    "boxes": Boxes,
    "instance_boxes": InstanceBoxes,
    "count": Count,
    "measurement": Measurement,
    "report": Report,
}
"""The class of each answer type named in the task table."""


@dataclass(frozen=True)
class Outcome:
    """An answer and how it came about.

    Attributes:
        text: The Answer string.
        stage: `strict` where the model's text followed the grammar, `fallback` where it did not.
        reason: Why the fallback was needed; empty otherwise.
    """

    text: str
    stage: Literal["strict", "fallback"]
    reason: str = ""


def read_answer(task: TaskType, text: str, form: Form) -> Outcome:
    """Turns a model's text into the Answer string; falls back to a legal answer where it is none."""
    try:
        return Outcome(ANSWER_CLASSES[TASKS[task].answer_type].parse(text, form).format(), "strict")
    except Unparsable as error:
        return fallback_answer(task, form, f"the model's text is {error}")


def fallback_answer(task: TaskType, form: Form, reason: str) -> Outcome:
    """A legal answer from the question alone."""
    answer = ANSWER_CLASSES[TASKS[task].answer_type].fallback(form)
    return Outcome(answer.format() if answer else TASKS[task].fallback, "fallback", reason)
