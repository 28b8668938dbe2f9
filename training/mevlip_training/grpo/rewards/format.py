"""The form of a completion, for every task."""

from __future__ import annotations

from functools import partial

from mevlip.answers import QuestionSpec
from mevlip.tasks import TASKS, TaskType
from mevlip_training.grpo.rewards.base import CREDIT, Reward, read


def form(task: TaskType, spec: QuestionSpec, text: str, truth: str) -> float:
    """The credit of a completion, whatever is true: 1 by the strict reader, half by the tolerant one, else 0."""
    return read(task, spec, text).credit


REWARDS = tuple(
    Reward(
        name="format",
        about="the answer and nothing else",
        formula=f"1 where the strict reader accepts it, {CREDIT['tolerant']:g} where the tolerant one does, else 0",
        tasks=(task,),
        weight=1,
        compute=partial(form, task),
    )
    for task in TASKS
)
