"""Assigning questions to adapters and laying them out in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mevlip.flare.questions import Question
from mevlip.routing.router import TaskPrediction
from mevlip.run.settings import Routing
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, TaskType, adapter_names


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


@dataclass(frozen=True)
class Batch:
    """Questions that go through the model together: one adapter, one task, one token budget."""

    adapter: str
    task: TaskType
    items: tuple[RoutedQuestion, ...]


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
    if routing == "base":
        adapter = NO_ADAPTER
    elif routing == "generalist" or predicted.confidence < threshold:
        adapter = GENERALIST
    else:
        adapter = TASKS[predicted.task].adapter
    return RoutedQuestion(question, predicted.task, predicted.confidence, adapter)


def plan(routed: Iterable[RoutedQuestion], batch_size: int) -> list[Batch]:
    """Lays questions out so that each adapter is selected once and neighbors in a batch cost alike.

    Args:
        routed: The questions, in any order.
        batch_size: Most questions per batch.

    Returns:
        Batches ordered by adapter and task; inside, by number of images and length of text, so that little is padded.
    """
    groups: dict[tuple[str, TaskType], list[RoutedQuestion]] = {}
    for item in routed:
        groups.setdefault((item.adapter, item.task), []).append(item)
    order = [(adapter, task) for adapter in (NO_ADAPTER, *adapter_names()) for task in TASKS]
    batches: list[Batch] = []
    for adapter, task in sorted(groups, key=order.index):
        items = sorted(groups[adapter, task], key=_cost)
        batches += [Batch(adapter, task, tuple(part)) for part in _parts(items, batch_size)]
    return batches


def _cost(item: RoutedQuestion) -> tuple[int, int, int]:
    question = item.question
    return len(question.image_names), len(question.text), question.position


def _parts(items: Sequence[RoutedQuestion], size: int) -> list[Sequence[RoutedQuestion]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
