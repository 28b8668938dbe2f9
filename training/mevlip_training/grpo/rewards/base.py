"""What a reward is, how a completion is read for it, and what a reading is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from mevlip.answers import QuestionSpec, Stage, TypedAnswer
from mevlip.answers.base import Refusal, Unparsable
from mevlip.core.text import MAX_ANSWER
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.targets import write_target

Compute = Callable[[QuestionSpec, str, str], float]
"""What a question asks for, a completion and the true Answer to a reward from 0 to 1; never fails for a completion."""

CREDIT: Mapping[Stage, float] = MappingProxyType({"strict": 1.0, "tolerant": 0.5, "repaired": 0.0, "fallback": 0.0})
"""What a completion is worth by how it could be read.

Whatever is said beside an answer costs half: the strict reader refuses it, and constrained decoding never lets it be
said. What had to be repaired, refuses to answer or means nothing is worth nothing: no reward is gained by luck.
"""

_KEPT = 64
"""Completions and truths that are kept as read: each is asked for by several rewards, a truth by its whole group."""


@dataclass(frozen=True)
class Reward:
    """One reward.

    Attributes:
        name: Its name.
        about: What it is for, in a few words.
        formula: How it is computed, its range included.
        tasks: The tasks that it is for.
        weight: Its weight beside others of the task where nothing else is said.
        compute: The function.
        packages: What it imports and the prediction environment's own packages do not bring, by import name.
    """

    name: str
    about: str
    formula: str
    tasks: tuple[TaskType, ...]
    weight: float
    compute: Compute
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a completion was read as.

    Attributes:
        answer: Its answer; None where it has none that is worth anything.
        credit: What the reading is worth, 0 to 1.
    """

    answer: TypedAnswer | None
    credit: float


_NOTHING = Reading(None, CREDIT["fallback"])


def graded(task: TaskType, compare: Callable[[Any, Any], float]) -> Compute:
    """Makes a reward of a comparison of two answers, times the completion's credit.

    Args:
        task: The task whose answers are compared.
        compare: The true and the given answer to 0 to 1, with 1 for equal ones.
    """

    def compute(spec: QuestionSpec, text: str, truth: str) -> float:
        true, reading = true_answer(task, spec, truth), read(task, spec, text)
        return reading.credit * compare(true, reading.answer) if reading.answer is not None else 0.0

    return compute


@lru_cache(_KEPT)
def read(task: TaskType, spec: QuestionSpec, text: str) -> Reading:
    """Reads a completion as prediction does, without repairs and fallbacks; one too long for an Answer not at all."""
    if len(text) > MAX_ANSWER:
        return _NOTHING
    kind = TASKS[task].answer
    for stage, reader in (("strict", kind.parse), ("tolerant", kind.parse_tolerantly)):
        try:
            return Reading(reader(text, spec), CREDIT[stage])  # type: ignore[index]  # str literals
        except Refusal:
            break
        except Unparsable:
            continue
    return _NOTHING


@lru_cache(_KEPT)
def true_answer(task: TaskType, spec: QuestionSpec, truth: str) -> TypedAnswer:
    """The true answer as training teaches it and the strict reader reads it: boxes of the model's own precision.

    Raises:
        TargetError: See `target_of`.
    """
    return TASKS[task].answer.parse(target_of(task, spec, truth), spec)


@lru_cache(_KEPT)
def target_of(task: TaskType, spec: QuestionSpec, truth: str) -> str:
    """What a model should say, word for word.

    Raises:
        TargetError: The truth cannot be taught; `mevlip data prepare` leaves such rows out.
    """
    return write_target(task, truth, spec)
