"""Boxes where they belong, of the right identity."""

from __future__ import annotations

from mevlip.answers.boxes import InstanceBoxes
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded
from mevlip_training.grpo.rewards.overlap import FORMULA, box_score
from mevlip_validation.box_matching import Labeled
from mevlip_validation.metrics.boxes import boxes_of

_NAMELESS = " "
"""Stands for an empty identity, which the metric would match with any."""


def instances_score(true: InstanceBoxes, said: InstanceBoxes) -> float:
    """See `box_score`; only boxes of one identity are pairs, and an empty identity is one like others."""
    return box_score(_named(true), _named(said))


def _named(answer: InstanceBoxes) -> list[Labeled]:
    return [(name or _NAMELESS, box) for name, box in boxes_of(answer)]


REWARDS = (
    Reward(
        name="instances",
        about="boxes where they belong, by identity",
        formula=f"{FORMULA}; pairs have one identity",
        tasks=(TaskType.INSTANCE_DETECTION,),
        weight=4,
        compute=graded(TaskType.INSTANCE_DETECTION, instances_score),
    ),
)
