"""The order of a run's questions: closed ones first."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mevlip.answers import QuestionSpec


def closed_first(specs: Sequence[QuestionSpec], seed: int) -> list[int]:
    """Orders questions from those whose options are marked, over those that list them, to open ones.

    Where all questions are of one kind, as those of most tasks are, what is left is a shuffle.

    Args:
        specs: What the questions ask for.
        seed: Decides the order within each kind; equal seeds give equal orders.

    Returns:
        The questions' places in the new order.
    """
    order = list(range(len(specs)))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return sorted(order, key=lambda place: _openness(specs[place]))


def _openness(spec: QuestionSpec) -> int:
    return 0 if spec.options else 1 if spec.labels else 2
