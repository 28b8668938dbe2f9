"""Which adapter answers a question, given what its text or its record says of its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mevlip.flare.questions import Question
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, TaskType

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
        confidence: How sure that is, 0 to 1; 1 where the record's TaskType was believed.
        adapter: The adapter that answers, or `NO_ADAPTER`.
    """

    question: Question
    task: TaskType
    confidence: float
    adapter: str


def needs_router(question: Question, routing: Routing) -> bool:
    """Whether the text decides; a declared task is believed only where `--routing declared` says so."""
    return routing != "declared" or question.declared is None


def route(
    question: Question, routing: Routing, predictions: Mapping[str, TaskPrediction], threshold: float
) -> RoutedQuestion:
    """Chooses task and adapter of one question.

    Args:
        question: The question. Its dataset, Modality and file names play no part.
        routing: The routing mode.
        predictions: The router's prediction by question text.
        threshold: Least confidence for a task-specific adapter; exactly the threshold is enough.
    """
    if routing == "declared" and question.declared:
        return RoutedQuestion(question, question.declared, 1.0, TASKS[question.declared].adapter)
    predicted = predictions[question.text]
    if routing == "none":
        adapter = NO_ADAPTER
    elif routing == "generalist" or predicted.confidence < threshold:
        adapter = GENERALIST
    else:
        adapter = TASKS[predicted.task].adapter
    return RoutedQuestion(question, predicted.task, predicted.confidence, adapter)
