"""The rewards of one completion, and their weighted mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from mevlip.answers import QuestionSpec
from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards import rewards_of
from mevlip_training.grpo.rewards.base import read, target_of


@dataclass(frozen=True)
class Scored:
    """What one completion earned.

    Attributes:
        parts: Each reward by its name, 0 to 1.
        total: Their weighted mean, 0 to 1.
        answer: The answer that was read, in the form of predictions; the completion itself where none was.
        times_truth: Its length in characters, over that of the true answer as training writes it.
    """

    parts: Mapping[str, float]
    total: float
    answer: str
    times_truth: float


class Rewards:
    """The rewards of a task with their weights.

    Args:
        task: The task.
        weights: Weights by name that replace the rewards' own; 0 takes a reward out.

    Raises:
        InputError: A name is not one of the task's rewards, a weight is negative or not finite, or all are 0.
        EnvironmentProblem: A reward needs a package that is not installed.
    """

    def __init__(self, task: TaskType, weights: Mapping[str, float] | None = None) -> None:
        self.task = task
        found = {reward.name: reward for reward in rewards_of(task)}
        given = dict(weights or {})
        if unknown := sorted(given.keys() - found.keys()):
            raise InputError(
                f"{task} has no reward called {', '.join(map(repr, unknown))}", f"It has {', '.join(found)}."
            )
        self.weights: dict[str, float] = {name: given.get(name, reward.weight) for name, reward in found.items()}
        if not all(math.isfinite(one) and one >= 0 for one in self.weights.values()) or not any(self.weights.values()):
            raise InputError(
                f"the weights of {task}'s rewards are {self.weights}",
                "Set numbers from 0, at least one of them above 0.",
            )
        self._rewards = [reward for name, reward in found.items() if self.weights[name]]
        missing = sorted({name for one in self._rewards for name in one.packages if not find_spec(name)})
        if missing:
            raise EnvironmentProblem(
                f"The rewards of {task} need {', '.join(missing)}, which is not installed here",
                "Run: pip install -c constraints/train.txt 'me-vlip[train]'",
            )

    def score(self, spec: QuestionSpec, text: str, truth: str) -> Scored:
        """Scores a completion.

        Args:
            spec: The form that the completion is parsed under, as for prediction.
            text: The completion, without the tokens that end it.
            truth: The true Answer as the data set has it, boxes in pixels.

        Raises:
            TargetError: The truth cannot be taught; no text is to blame.
        """
        parts = {reward.name: reward.compute(spec, text, truth) for reward in self._rewards}
        total = sum(self.weights[name] * value for name, value in parts.items()) / sum(self.weights.values())
        answer = read(self.task, spec, text).answer
        times_truth = len(text) / len(target_of(self.task, spec, truth))
        return Scored(parts, total, text.strip() if answer is None else answer.format(), times_truth)
