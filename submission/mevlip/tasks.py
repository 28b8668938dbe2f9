"""The seven task types of the FLARE 2D track, in one table.

Everything that depends on a task (its adapter, its answer type, its metric, the words the router reads) is looked up
here, by the predictor, the trainer, the scorer, the reports and the docs alike. The module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

GENERALIST = "generalist"
"""Name of the generalist adapter, used when the router is unsure."""

NO_ADAPTER = "none"
"""Stands where an adapter's name would, when the base model answers alone."""

AnswerType = Literal["choice", "label_set", "boxes", "instance_boxes", "count", "measurement", "report"]
Direction = Literal["higher", "lower"]


class TaskType(StrEnum):
    """A task type; its value is also the name of its adapter folder."""

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi_label_classification"
    DETECTION = "detection"
    INSTANCE_DETECTION = "instance_detection"
    COUNTING = "counting"
    REGRESSION = "regression"
    REPORT = "report_generation"


@dataclass(frozen=True)
class Task:
    """What is fixed about one task type.

    Attributes:
        type: The canonical task type.
        title: Its name for people.
        spellings: Values of the TaskType field seen in the wild, in the form `fold` gives them.
        router_label: The plain words that the task classifier scores a question against.
        answer_type: Which answer class of `mevlip.answers` reads and writes it.
        fallback: A legal answer for a question about which nothing at all is known.
        max_new_tokens: Default token budget, meant to hold the longest legal answer in the real model's tokenizer.
        metric: The challenge's measure.
        direction: Whether more or less of the measure is better.
    """

    type: TaskType
    title: str
    spellings: tuple[str, ...]
    router_label: str
    answer_type: AnswerType
    fallback: str
    max_new_tokens: int
    metric: str
    direction: Direction

    @property
    def adapter(self) -> str:
        """Name of the task-specific adapter."""
        return self.type.value


_TASKS = (
    Task(
        TaskType.CLASSIFICATION,
        "Classification",
        ("classification", "single label classification", "disease diagnosis classification"),
        "choose one option",
        "choice",
        "A",
        32,
        "balanced accuracy",
        "higher",
    ),
    Task(
        TaskType.MULTI_LABEL,
        "Multi-label classification",
        ("multi label classification", "multilabel classification", "multi label"),
        "select all labels that apply",
        "label_set",
        "Normal",
        128,
        "micro F1",
        "higher",
    ),
    Task(
        TaskType.DETECTION,
        "Detection",
        ("detection", "object detection"),
        "bounding boxes of a finding",
        "boxes",
        "[[0, 0, 1, 1]]",
        # 32 boxes in thousandths at 20 to 22 tokens each: every digit is a token of its own.
        720,
        "F1 at IoU 0.5",
        "higher",
    ),
    Task(
        TaskType.INSTANCE_DETECTION,
        "Instance detection",
        ("instance detection",),
        "boxes of every numbered instance",
        "instance_boxes",
        "{}",
        # 46 chromosomes come to 1,003 tokens, to 1,197 where every box ends at the image's far corner.
        1536,
        "F1 at IoU 0.5 per identity",
        "higher",
    ),
    Task(
        TaskType.COUNTING,
        "Counting",
        ("counting", "cell counting"),
        "count the objects",
        "count",
        # The two numbers are medians of the published training answers: the constants with the least absolute error.
        "53",
        16,
        "mean absolute error",
        "lower",
    ),
    Task(
        TaskType.REGRESSION,
        "Regression",
        ("regression",),
        "measure a quantity",
        "measurement",
        "27.8",
        24,
        "mean absolute error",
        "lower",
    ),
    Task(
        TaskType.REPORT,
        "Report generation",
        ("report generation", "report"),
        "write a report",
        "report",
        "No abnormality is seen.",
        # 150 words: the references take 1.7 tokens a word, the densest of them 2.3.
        384,
        "GREEN (2025), CRIMSON (2026)",
        "higher",
    ),
)

TASKS: MappingProxyType[TaskType, Task] = MappingProxyType({task.type: task for task in _TASKS})
"""The table, in the challenge's order."""


def adapter_names() -> tuple[str, ...]:
    """The eight adapters: the generalist first, then one per task."""
    return (GENERALIST, *(task.adapter for task in TASKS.values()))


def fold(spelling: str) -> str:
    """Folds a TaskType spelling: lower case, `_` and `-` as blanks, runs of blanks as one."""
    return " ".join(spelling.lower().replace("_", " ").replace("-", " ").split())


_BY_SPELLING = MappingProxyType({spelling: task.type for task in _TASKS for spelling in task.spellings})


def parse_task_type(spelling: object) -> TaskType | None:
    """Reads a TaskType field.

    Args:
        spelling: The field's value; any JSON value is accepted, because the field may be absent or wrong.

    Returns:
        The task type, or None where the value names none of the seven.
    """
    return _BY_SPELLING.get(fold(spelling)) if isinstance(spelling, str) else None
