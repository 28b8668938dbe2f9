"""The right option of a closed question, or the right word of an open one."""

from __future__ import annotations

from mevlip.answers.choice import Choice
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded
from mevlip_validation.text_metrics import fold


def right_option(true: Choice, said: Choice) -> float:
    """1 where the options are the same, letter case and runs of blanks aside, else 0."""
    return float(fold(said.value) == fold(true.value))


REWARDS = (
    Reward(
        name="letter",
        about="the right option",
        formula="1 or 0",
        tasks=(TaskType.CLASSIFICATION,),
        weight=4,
        compute=graded(TaskType.CLASSIFICATION, right_option),
    ),
)
