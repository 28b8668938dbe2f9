"""Bounding boxes of a finding."""

from mevlip.answers.boxes import Boxes
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.DETECTION,
    title="Detection",
    spellings=("detection", "object detection"),
    router_label="bounding boxes of a finding",
    answer=Boxes,
    fallback="[[0, 0, 1, 1]]",
    # 32 boxes in thousandths at 20 to 22 tokens each: every digit is a token of its own.
    max_new_tokens=720,
    metric="F1 at IoU 0.5",
    direction="higher",
)
