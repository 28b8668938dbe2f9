"""Bounding boxes of every numbered instance."""

from mevlip.answers.boxes import InstanceBoxes
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.INSTANCE_DETECTION,
    title="Instance detection",
    spellings=("instance detection",),
    router_label="boxes of every numbered instance",
    answer=InstanceBoxes,
    fallback="{}",
    # 46 chromosomes come to 1,003 tokens, to 1,197 where every box ends at the image's far corner.
    max_new_tokens=1536,
    metric="F1 at IoU 0.5 per identity",
    direction="higher",
)
