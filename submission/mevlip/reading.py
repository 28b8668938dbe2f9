"""From a model's text to the Answer string of a task."""

from __future__ import annotations

from mevlip.answers import ParsedAnswer, QuestionSpec, Refusal, TypedAnswer, Unparsable
from mevlip.answers.grammar import Grammar
from mevlip.core.text import answer_fault
from mevlip.tasks import TASKS, TaskType

THINK_OPENS, THINK_CLOSES = "<think>", "</think>"
ANSWER_OPENS, ANSWER_CLOSES = "<answer>", "</answer>"
"""The marks between which a model thinks and then answers, as Fleming-VL was trained to write them."""


def read_answer(task: TaskType, text: str, spec: QuestionSpec) -> ParsedAnswer:
    """Turns a model's text into the Answer string by the first stage that can; the last can always.

    Whatever the text is, the result is one that `answer_fault` allows.
    """
    kind = TASKS[task].answer
    stages = (("strict", kind.parse), ("tolerant", kind.parse_tolerantly), ("repaired", kind.repair))
    reason = ""
    for stage, read in stages:
        try:
            answer = read(text, spec)
            return ParsedAnswer(_written(answer), stage, answer.note or reason)  # type: ignore[arg-type]  # str literals
        except Refusal as error:
            return fallback_answer(task, spec, f"the model's text {error}")
        except Unparsable as error:
            reason = reason or f"the model's text {error}"
    return fallback_answer(task, spec, reason)


def split_thinking(text: str) -> tuple[str, str]:
    """Takes a text apart that a model wrote after it was asked to think first; takes linear time.

    The answer is what the last pair of its marks holds, else what comes after the last closing of the thinking, else
    everything; an opening mark at its beginning is left out. A pair inside the thinking does not count where an answer
    is opened right after it.

    Returns:
        Its thinking and its answer, without the marks and without blanks around them.
    """
    before, closed, after = text.rpartition(THINK_CLOSES)
    last = text.rfind(ANSWER_OPENS, 0, max(text.rfind(ANSWER_CLOSES), 0))
    if last >= len(before) or (last >= 0 and not after.lstrip().startswith(ANSWER_OPENS)):
        answer = text[last + len(ANSWER_OPENS) :].partition(ANSWER_CLOSES)[0]
        before = before if closed else text[:last]
    else:
        answer = after.strip().removeprefix(ANSWER_OPENS)
    return before.strip().removeprefix(THINK_OPENS).strip(), answer.strip()


def fallback_answer(task: TaskType, spec: QuestionSpec, reason: str) -> ParsedAnswer:
    """A legal answer from the question alone."""
    answer = TASKS[task].answer.fallback(spec)
    try:
        text = _written(answer) if answer else TASKS[task].fallback
    except Unparsable:  # an option as long as a book
        text = TASKS[task].fallback
    return ParsedAnswer(text, "fallback", reason)


def _written(answer: TypedAnswer) -> str:
    """The Answer string.

    Raises:
        Unparsable: It would break the rule for answers, such as the bound on their length.
    """
    text = answer.format()
    if fault := answer_fault(text):
        raise Unparsable(f"gives an answer that {fault}")
    return text


def grammar_of(task: TaskType, spec: QuestionSpec) -> Grammar | None:
    """What a model may say in answer to a question; None where anything goes."""
    return TASKS[task].answer.grammar(spec)
