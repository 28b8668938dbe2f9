"""Boxes where they belong."""

from __future__ import annotations

from mevlip.answers.boxes import Boxes
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded
from mevlip_training.grpo.rewards.overlap import FORMULA, box_score
from mevlip_validation.metrics.boxes import boxes_of


def boxes_score(true: Boxes, said: Boxes) -> float:
    """See `box_score`; boxes are those in pixels that the completion is read as."""
    return box_score(boxes_of(true), boxes_of(said))


REWARDS = (
    Reward(
        name="boxes",
        about="boxes where they belong",
        formula=FORMULA,
        tasks=(TaskType.DETECTION,),
        weight=4,
        compute=graded(TaskType.DETECTION, boxes_score),
    ),
)
