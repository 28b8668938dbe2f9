"""Numbers near the true one: counts and measurements."""

from __future__ import annotations

from functools import partial
from math import exp

from mevlip.answers.numbers import Count, Measurement
from mevlip.tasks import TASKS, TaskType
from mevlip_training.grpo.rewards.base import Reward, graded


def scale_of(task: TaskType) -> float:
    """The error that is worth 1 / e: the task's fallback, which is the median of the published training answers."""
    return float(TASKS[task].fallback)


def nearness(scale: float, true: Count | Measurement, said: Count | Measurement) -> float:
    """exp(-|said - true| / scale), 0 to 1."""
    return exp(-abs(said.value - true.value) / scale)


def _reward(name: str, task: TaskType) -> Reward:
    scale = scale_of(task)
    return Reward(
        name=name,
        about="a number near the true one",
        formula=f"exp(-|error| / {scale:g})",
        tasks=(task,),
        weight=4,
        compute=graded(task, partial(nearness, scale)),
    )


REWARDS = (_reward("count", TaskType.COUNTING), _reward("measurement", TaskType.REGRESSION))
