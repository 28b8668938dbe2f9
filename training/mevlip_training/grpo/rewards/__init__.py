"""The rewards, each in a file of its own, where it is found by being there; its `REWARDS` name their tasks."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward

__all__ = ["Reward", "all_rewards", "rewards_of"]


@cache
def all_rewards() -> tuple[Reward, ...]:
    """Every reward, by name."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found = (reward for module in modules for reward in getattr(module, "REWARDS", ()))
    return tuple(sorted(found, key=lambda reward: reward.name))


@cache
def rewards_of(task: TaskType) -> tuple[Reward, ...]:
    """The rewards of a task.

    Raises:
        LookupError: There is none but its format, by which nothing can be learned.
    """
    found = tuple(reward for reward in all_rewards() if task in reward.tasks)
    if len(found) < 2:
        raise LookupError(f"{task} has no reward: add a file to mevlip_training/grpo/rewards whose REWARDS name it")
    return found
