"""Choosing every label that applies."""

from mevlip.answers.labels import LabelSet
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.MULTI_LABEL,
    title="Multi-label classification",
    spellings=("multi label classification", "multilabel classification", "multi label"),
    router_label="select all labels that apply",
    answer=LabelSet,
    fallback="Normal",
    max_new_tokens=128,
    metric="micro F1",
    direction="higher",
)
