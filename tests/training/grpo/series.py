"""Steps of made-up runs."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mevlip_training.grpo.scoring import Scored
from mevlip_training.grpo.steps import Group, Step, summarize

CAP = 32


def group(totals: Sequence[float], answers: Sequence[str] = (), tokens: int = 4, times_truth: float = 1.0) -> Group:
    """A group with these rewards; without answers every completion is another."""
    said = answers or [f"{random.random()}" for _ in totals]
    scores = [
        Scored({"format": 1.0, "letter": total}, total, answer, times_truth)
        for total, answer in zip(totals, said, strict=True)
    ]
    return Group(scores, [tokens] * len(scores), len(scores) * (tokens >= CAP))


def step(number: int, groups: Sequence[Group], kl: float | None = 0.01, loss: float | None = 0.1) -> Step:
    return summarize(number, groups, kl=kl, loss=loss, learning_rate=1e-6, seconds=1.5)


def learning(rng: random.Random, skill: float, questions: int = 4, letters: str = "ABCD") -> list[Group]:
    """Groups of lettered questions that are each answered right with a chance of about `skill`."""
    groups = []
    for _ in range(questions):
        true = rng.choice(letters)
        chance = min(max(rng.gauss(skill, 0.25), 0.0), 1.0)
        said = [true if rng.random() < chance else rng.choice(letters) for _ in range(8)]
        groups.append(group([1.0 if one == true else 0.2 for one in said], said))
    return groups
