"""Whether a task can be what a question asks for: some forms of questions leave no doubt about it."""

from __future__ import annotations

import re

from mevlip.answers.question_spec import QuestionSpec
from mevlip.tasks import TaskType

_LOCATING = (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)
_KNOWN = (
    *_LOCATING,
    TaskType.CLASSIFICATION,
    TaskType.MULTI_LABEL,
    TaskType.COUNTING,
    TaskType.REGRESSION,
    TaskType.REPORT,
)
"""The challenge's tasks; nothing is known of the answers to further ones."""
# `shape` also sees "in the bounding box"; a pattern of corners is not a mere mention.
_CORNERS = re.compile(
    r"\bx_?min\b.{0,20}\by_?min\b.{0,20}\bx_?max\b|[\[(]\s*x_?1\s*,\s*y_?1\s*,|\bbounding box coordinates\b",
    re.IGNORECASE,
)
# A box may also be given, and something else asked about it.
_ABOUT_A_BOX = re.compile(
    r"(?:.*[.:!?]\s)?(?:how (?:many|much)|is|are|was|were|does|do|did|has|have)\b[^.!?]*\?\Z", re.IGNORECASE
)
_ALL_THAT_APPLY = re.compile(r"\ball that apply\b", re.IGNORECASE)


def decide_task(task: TaskType, question: str) -> TaskType:
    """The task of a question: the given one, or another where the question's form excludes that.

    - Options with letters are chosen from: one of them, or several where the question says so.
    - Labels listed without letters under "select all that apply" are chosen from, too, and several of them.
    - A pattern such as `[x_min, y_min, x_max, y_max]`, without options, asks for boxes: a list of them, or an object.

    Whatever is not certain stays as given, such as which of the two kinds of boxes is wanted.

    Args:
        task: What the router or the record says.
        question: The question's text.
    """
    if task not in _KNOWN:
        return task
    spec = QuestionSpec(question)
    if _is_lettered(spec):
        return TaskType.MULTI_LABEL if spec.several else TaskType.CLASSIFICATION
    if spec.shape and not spec.options:
        if task in _LOCATING or not _CORNERS.search(spec.line) or _ABOUT_A_BOX.match(spec.line):
            return task
        return TaskType.INSTANCE_DETECTION if spec.shape == "object" else TaskType.DETECTION
    if spec.several and _is_listed(spec) and (task is TaskType.CLASSIFICATION or _ALL_THAT_APPLY.search(spec.line)):
        return TaskType.MULTI_LABEL
    return task


def _is_lettered(spec: QuestionSpec) -> bool:
    return bool(spec.options) and all(mark.isalpha() for mark in spec.options)


def _is_listed(spec: QuestionSpec) -> bool:
    return len(spec.labels) > 1 and spec.labels != ("Yes", "No")
