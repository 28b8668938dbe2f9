"""The right set of labels."""

from __future__ import annotations

from mevlip.answers.labels import LabelSet
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded
from mevlip_validation.statistics import set_f1
from mevlip_validation.text_metrics import fold


def label_f1(true: LabelSet, said: LabelSet) -> float:
    """F1 of two sets of labels, letter case and runs of blanks aside: 2 |both| / (|true| + |said|), 0 to 1."""
    return set_f1(frozenset(map(fold, true.labels)), frozenset(map(fold, said.labels)))


REWARDS = (
    Reward(
        name="labels",
        about="the right labels",
        formula="2 |true and said| / (|true| + |said|)",
        tasks=(TaskType.MULTI_LABEL,),
        weight=4,
        compute=graded(TaskType.MULTI_LABEL, label_f1),
    ),
)
