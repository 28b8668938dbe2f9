"""From a model's text to the Answer string of a task."""

from __future__ import annotations

from mevlip.answers import ParsedAnswer, QuestionSpec, Unparsable
from mevlip.answers.grammar import Grammar
from mevlip.tasks import TASKS, TaskType


def read_answer(task: TaskType, text: str, spec: QuestionSpec) -> ParsedAnswer:
    """Turns a model's text into the Answer string by the first stage that can; the last can always."""
    kind = TASKS[task].answer
    stages = (("strict", kind.parse), ("tolerant", kind.parse_tolerantly), ("repaired", kind.repair))
    reason = ""
    for stage, read in stages:
        try:
            return ParsedAnswer(read(text, spec).format(), stage, reason)  # type: ignore[arg-type]  # str literals
        except Unparsable as error:
            reason = reason or f"the model's text {error}"
    return fallback_answer(task, spec, reason)


def fallback_answer(task: TaskType, spec: QuestionSpec, reason: str) -> ParsedAnswer:
    """A legal answer from the question alone."""
    answer = TASKS[task].answer.fallback(spec)
    return ParsedAnswer(answer.format() if answer else TASKS[task].fallback, "fallback", reason)


def grammar_of(task: TaskType, spec: QuestionSpec) -> Grammar | None:
    """What a model may say in answer to a question; None where anything goes."""
    return TASKS[task].answer.grammar(spec)
