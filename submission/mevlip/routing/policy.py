"""Which adapter answers a question, given what its text or its record says of its task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mevlip.flare.questions import Question
from mevlip.routing.consistency import decide_task
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, TaskType, adapter_names

if TYPE_CHECKING:
    from mevlip.routing.router import TaskPrediction

Routing = Literal["router", "declared", "generalist", "none"]
"""By question text, by the record's TaskType, always the generalist, or no adapter at all."""


@dataclass(frozen=True)
class RoutedQuestion:
    """A question and who answers it.

    Attributes:
        question: The question.
        task: What kind of answer it wants.
        confidence: How sure the router was of the task it named, 0 to 1; 1 where the record's TaskType was believed.
        adapter: The adapter that answers, or `NO_ADAPTER`.
        corrected_from: The task that the router or the record named, where the question's form excludes it.
    """

    question: Question
    task: TaskType
    confidence: float
    adapter: str
    corrected_from: TaskType | None = None


def needs_router(question: Question, routing: Routing) -> bool:
    """Whether the text decides; a declared task is believed only where `--routing declared` says so."""
    return routing != "declared" or question.declared is None


def adapter_of(task: TaskType, adapters: Collection[str]) -> str:
    """The adapter that answers a task: its own or, where a checkpoint has none for it, the generalist."""
    own = TASKS[task].adapter
    return own if own in adapters else GENERALIST


def route(
    question: Question,
    routing: Routing,
    predictions: Mapping[str, TaskPrediction],
    threshold: float,
    adapters: Collection[str] = adapter_names(),
) -> RoutedQuestion:
    """Chooses task and adapter of one question.

    A task that the question's form excludes gives way (see `decide_task`), and with it the adapter, whatever the
    router's confidence; not where the caller named it by hand.

    Args:
        question: The question. Its dataset, Modality and file names play no part.
        routing: The routing mode.
        predictions: The router's prediction by question text.
        threshold: Least confidence for a task-specific adapter; exactly the threshold is enough.
        adapters: Names of the adapters that there are; the generalist is one of them.
    """
    if routing == "declared" and question.declared:
        task = question.declared if question.by_hand else decide_task(question.declared, question.text)
        return RoutedQuestion(question, task, 1.0, adapter_of(task, adapters), _corrected(question.declared, task))
    predicted = predictions[question.text]
    task = decide_task(predicted.task, question.text)
    certain = task is not predicted.task
    if routing == "none":
        adapter = NO_ADAPTER
    elif routing == "generalist" or (predicted.confidence < threshold and not certain):
        adapter = GENERALIST
    else:
        adapter = adapter_of(task, adapters)
    return RoutedQuestion(question, task, predicted.confidence, adapter, _corrected(predicted.task, task))


def _corrected(named: TaskType, decided: TaskType) -> TaskType | None:
    return None if decided is named else named
