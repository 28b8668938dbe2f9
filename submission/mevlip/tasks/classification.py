"""Choosing one option."""

from mevlip.answers.choice import Choice
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.CLASSIFICATION,
    title="Classification",
    spellings=("classification", "single label classification", "disease diagnosis classification"),
    router_label="choose one option",
    answer=Choice,
    fallback="A",
    max_new_tokens=32,
    metric="balanced accuracy",
    direction="higher",
)
