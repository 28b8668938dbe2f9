"""Laying questions out: by adapter, by picture, and in as large parts as memory allows. Numbers only, no tensors.

Questions on the same pictures share what stands before their text: it goes through the model once for all of them, as
long as they go together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from mevlip.flare.questions import Question
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import NO_ADAPTER, adapter_names


@dataclass(frozen=True)
class Budget:
    """How many tokens memory has room for at once.

    Attributes:
        computed: Prompt tokens that go through the model in one pass.
        cached: Tokens whose keys and values are kept while answers are written.
    """

    computed: int
    cached: int

    def halved(self) -> Budget:
        """Half of it."""
        return Budget(max(1, self.computed // 2), max(1, self.cached // 2))


@dataclass(frozen=True)
class Size:
    """What one question takes.

    Attributes:
        pictures: What is equal for questions that share their beginning: those on the same pictures, unless adapters
            are mixed in shares that each question has for itself.
        shared: Tokens of the prompt's beginning, through its last picture.
        own: Tokens of the rest.
        new: Most tokens of its answer whose keys and values are kept; 0 where the prompt alone decides it.
    """

    pictures: Hashable
    shared: int
    own: int
    new: int

    @property
    def cached(self) -> int:
        """Tokens whose keys and values are kept while its answer is written."""
        return self.shared + self.own + self.new if self.new else 0


@dataclass(frozen=True)
class Batch:
    """Questions that one adapter answers and that should go through the model together."""

    adapter: str
    items: tuple[RoutedQuestion, ...]

    @property
    def questions(self) -> list[Question]:
        """Its questions, as they were read."""
        return [item.question for item in self.items]


def plan(routed: Iterable[RoutedQuestion], budget: Budget, estimate: Callable[[RoutedQuestion], Size]) -> list[Batch]:
    """Lays questions out so that each adapter is selected once and questions on the same pictures stand together.

    Args:
        routed: The questions, in any order.
        budget: What memory has room for.
        estimate: What a question takes, as far as that is known before its images are.

    Returns:
        Batches by adapter; inside, by number of images and by what an answer takes, so that like go together.
    """
    groups: dict[str, dict[tuple[object, ...], list[tuple[RoutedQuestion, Size]]]] = {}
    for item in sorted(routed, key=lambda item: item.question.position):
        pictures = item.question.pictures
        groups.setdefault(item.adapter, {}).setdefault(pictures, []).append((item, estimate(item)))
    batches = []
    for adapter in sorted(groups, key=(NO_ADAPTER, *adapter_names()).index):
        # Sorting keeps the order of equals: that of the questions.
        kinds = sorted(groups[adapter].items(), key=lambda kind: (len(kind[0]), max(size.new for _, size in kind[1])))
        ordered = [pair for _, pairs in kinds for pair in pairs]
        parts = split([size for _, size in ordered], budget)
        batches += [Batch(adapter, tuple(item for item, _ in ordered[part])) for part in parts]
    return batches


def split(sizes: Sequence[Size], budget: Budget) -> list[slice]:
    """Splits questions, in their order, into parts that memory has room for.

    Args:
        sizes: What each takes; those on the same pictures stand together.
        budget: What memory has room for; a question that takes more stands alone.
    """
    parts, start, computed, rows, longest = [], 0, 0, 0, 0
    for place, size in enumerate(sizes):
        shares = place > start and size.pictures == sizes[place - 1].pictures
        more = size.own if shares else size.shared + size.own
        # Every row of the cache has room for the longest.
        full = (rows + bool(size.cached)) * max(longest, size.cached) > budget.cached
        if place > start and (computed + more > budget.computed or full):
            parts.append(slice(start, place))
            start, computed, rows, longest = place, 0, 0, 0
            more = size.shared + size.own
        computed += more
        rows += bool(size.cached)
        longest = max(longest, size.cached)
    if sizes:
        parts.append(slice(start, len(sizes)))
    return parts
