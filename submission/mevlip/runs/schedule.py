"""Which batch comes next, where a run has to end by a certain time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mevlip.inference.batching import Batch
from mevlip.tasks import TASKS

_TO_WRITE = 2.0
_TO_WRITE_EACH = 0.001
"""Seconds kept for writing and checking the output, and for each of its answers."""


@dataclass
class TimeLimit:
    """When a run has to end.

    Attributes:
        seconds: Seconds from now; None for no limit.
        answers: Answers that have to be written at the end.
        clock: What tells the time, in seconds.
    """

    seconds: float | None
    answers: int = 0
    clock: Callable[[], float] = time.monotonic
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def left(self) -> float:
        """Seconds left for answering."""
        if self.seconds is None:
            return float("inf")
        return self.seconds - (self.clock() - self._start) - _TO_WRITE - _TO_WRITE_EACH * self.answers


def in_time(batches: Iterable[Batch], limit: TimeLimit) -> Iterator[tuple[Batch, Batch | None]]:
    """Yields batches while there is time for the next, and beside each the one that probably follows.

    The caller answers each before it takes another.

    The order is the planned one as long as all of them fit, by the seconds that their adapters have taken so far. From
    then on the quickest come first, so that most questions get an answer: those with options, which the first forward
    decides, before those that are written out.

    Args:
        batches: The planned batches.
        limit: When the run has to end.
    """
    waiting = list(batches)
    pace = _Pace()
    while waiting and limit.left > 0:
        if pace.expected(waiting) > limit.left:
            waiting.sort(key=pace.each)
            if pace.expected(waiting[:1]) > limit.left:
                return
        start = limit.clock()
        yield waiting[0], waiting[1] if len(waiting) > 1 else None
        pace.add(waiting.pop(0), limit.clock() - start)


class _Pace:
    """Seconds per question of each adapter, as measured in this run."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()
        self._questions: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def add(self, batch: Batch, seconds: float) -> None:
        """Adds what a batch has taken."""
        self._seconds[batch.adapter] += seconds  # type: ignore[assignment]  # a Counter adds any numbers
        self._questions[batch.adapter] += len(batch.items)
        self._tokens[batch.adapter] += _tokens(batch)

    def each(self, batch: Batch) -> tuple[float, float]:
        """Seconds per question; before anything is known, token budgets tell what is quick."""
        return self._per_question(batch), _tokens(batch) / len(batch.items)

    def expected(self, batches: Iterable[Batch]) -> float:
        """Seconds that batches will take."""
        return sum(self._per_question(batch) * len(batch.items) for batch in batches)

    def _per_question(self, batch: Batch) -> float:
        """An adapter that has not been met is taken to be as fast as the others for each token of its budget."""
        if batch.adapter in self._questions:
            return self._seconds[batch.adapter] / self._questions[batch.adapter]
        each = _tokens(batch) / len(batch.items)
        return each * self._seconds.total() / max(self._tokens.total(), 1)


def _tokens(batch: Batch) -> int:
    """Token budget of a batch's answers."""
    return sum(TASKS[item.task].max_new_tokens for item in batch.items)
