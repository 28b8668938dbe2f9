"""What a task type is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mevlip.answers.base import TypedAnswer

Direction = Literal["higher", "lower"]


class TaskType(StrEnum):
    """A task type; its value is also the name of its adapter folder.

    The members are the challenge's own, in its order, for code that names one. A file in this package may register a
    further task, whose type `TaskType(value)` then gives, too.
    """

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi_label_classification"
    DETECTION = "detection"
    INSTANCE_DETECTION = "instance_detection"
    COUNTING = "counting"
    REGRESSION = "regression"
    REPORT = "report_generation"

    @classmethod
    def register(cls, value: str) -> TaskType:
        """The type of a task file; a new one where the challenge has none of that value."""
        if value not in cls._value2member_map_ | _REGISTERED:
            member = str.__new__(cls, value)
            member._name_, member._value_ = value.upper(), value
            _REGISTERED[value] = member
        return cls(value)

    @classmethod
    def _missing_(cls, value: object) -> TaskType | None:
        return _REGISTERED.get(str(value))


_REGISTERED: dict[str, TaskType] = {}
_AnswerClass = type[TypedAnswer]


@dataclass(frozen=True)
class Task:
    """What is fixed about one task type.

    Attributes:
        type: The canonical task type.
        title: Its name for people.
        spellings: Values of the TaskType field seen in the wild, in the form `fold` gives them.
        router_label: The plain words that the task classifier scores a question against.
        answer: The class that reads, formats and constrains its answers.
        fallback: A legal answer for a question about which nothing at all is known.
        max_new_tokens: Default token budget, meant to hold the longest legal answer in the real model's tokenizer.
        metric: The challenge's metric.
        direction: Whether more or less of the metric is better.
    """

    type: TaskType
    title: str
    spellings: tuple[str, ...]
    router_label: str
    answer: _AnswerClass
    fallback: str
    max_new_tokens: int
    metric: str
    direction: Direction

    @property
    def adapter(self) -> str:
        """Name of the task-specific adapter."""
        return self.type.value
