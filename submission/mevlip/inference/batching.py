"""Laying questions out in batches: one adapter, one task, one token budget each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import NO_ADAPTER, TASKS, TaskType, adapter_names


@dataclass(frozen=True)
class Batch:
    """Questions that go through the model together: one adapter, one task, one token budget."""

    adapter: str
    task: TaskType
    items: tuple[RoutedQuestion, ...]


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
