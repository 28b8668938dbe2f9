"""Laying questions out in batches: one adapter, one task, one token budget each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import NO_ADAPTER, TASKS, TaskType, adapter_names

BATCH_TOKENS = 16_384
"""Most tokens that go through the model together, where nobody says otherwise: two full windows of 8,192."""


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


def split_by_tokens(lengths: Sequence[int], most: int) -> list[slice]:
    """Splits the rows of a batch so that no part has more tokens than allowed, its shorter rows padded to its longest.

    Args:
        lengths: Tokens of each row: its prompt and the budget of its answer.
        most: Most tokens of a part; a row that has more stands alone.

    Returns:
        The parts, in order.
    """
    parts, start = [], 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * max(lengths[start : end + 1]) > most:
            parts.append(slice(start, end))
            start = end
    return parts


def _cost(item: RoutedQuestion) -> tuple[int, int, int]:
    question = item.question
    return len(question.image_names), len(question.text), question.position


def _parts(items: Sequence[RoutedQuestion], size: int) -> list[Sequence[RoutedQuestion]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
