"""Watches a run, and ends it where it learns nothing, or something else than the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean, median
from typing import Any

from pydantic import Field

from mevlip.checkpoints.records import FrozenModel
from mevlip.core.errors import TrainingFailed
from mevlip_training.grpo.steps import SAME, Step


class RewardCollapse(TrainingFailed):
    """A run that would learn nothing, or something else than its task, if it went on."""


class Limits(FrozenModel):
    """What a run may do; all but the loss is judged over a window of steps, once there is a whole one."""

    window: int = Field(default=20, ge=2)
    """Steps that are judged together; the first as many are what lengths are compared with."""
    stuck: float = Field(default=0.9, gt=0, le=1)
    """Least share of groups with zero variance that are not solved: all get the same, so no weight moves."""
    growth: float = Field(default=3.0, gt=1)
    """Greatest length of a typical completion, over that of the first steps; judged beyond `longest` only."""
    longest: float = Field(default=1.5, ge=1)
    """Length of a typical completion over that of the true answer up to which growth is welcome."""
    at_cap: float = Field(default=0.5, gt=0, le=1)
    """Least share of completions that are cut at the limit on tokens."""
    constant: float = Field(default=0.9, gt=0, le=1)
    """Least share of completions that give one answer to any question, for a mean reward below `earned`."""
    questions: int = Field(default=8, ge=2)
    """Fewest questions in a window that such an answer is judged by."""
    earned: float = Field(default=0.9, gt=0, le=1)
    """Mean reward from which one answer to most questions is what is true."""
    kl: float = Field(default=5.0, gt=0)
    """Greatest divergence of a typical step from the model that the run started from, in nats a token."""


class Monitor:
    """Watches the steps of a run.

    Args:
        limits: What the run may do.
        state: What `state` gave before the run was stopped; None at its start.
    """

    def __init__(self, limits: Limits | None = None, state: Mapping[str, Any] | None = None) -> None:
        self.limits = limits or Limits()
        self._first = [Step.model_validate(one) for one in (state or {}).get("first", ())]
        self._last = [Step.model_validate(one) for one in (state or {}).get("last", ())]

    @property
    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON values; to be saved with each checkpoint."""
        return {"first": [one.model_dump() for one in self._first], "last": [one.model_dump() for one in self._last]}

    def observe(self, step: Step) -> None:
        """Takes a step into account.

        Raises:
            RewardCollapse: The run should end; its message says why, and what may help.
        """
        if not step.is_finite:
            raise RewardCollapse(
                f"step {step.step}: the loss is {step.loss} and the divergence from the start {step.kl}",
                "Lower learning_rate; the last saved step is as it was.",
            )
        if len(self._first) < self.limits.window:
            self._first.append(step)
        self._last = [*self._last, step][-self.limits.window :]
        if len(self._last) == self.limits.window:
            for cause, remedy in self._causes():
                raise RewardCollapse(f"steps {self._last[0].step} to {step.step}: {cause}", remedy)

    def _causes(self) -> Iterator[tuple[str, str]]:
        """Why the run should end, and what may help."""
        steps, limits = self._last, self.limits
        rewards = [one.total.mean for one in steps]
        reward = fmean(rewards)
        share, questions = fmean(one.commonest_share for one in steps), sum(one.groups for one in steps)
        is_one = len({one.commonest for one in steps}) == 1 and share >= limits.constant
        if is_one and questions >= limits.questions and reward < limits.earned:
            yield (
                f"{share:.0%} of the completions give one answer to {questions} questions, for a mean reward of "
                f"{reward:.2f}",
                "Start from an adapter that tells questions apart, raise temperature, or balance the rows.",
            )
        if (stuck := fmean(one.stuck for one in steps)) >= limits.stuck:
            yield (
                f"in {stuck:.0%} of the groups all completions earn the same, and not because all are right",
                "Raise temperature or num_generations, or train on questions that the model sometimes gets right.",
            )
        if max(rewards) - min(rewards) < SAME and reward < 1 - SAME:
            yield (
                f"the mean reward is {reward:.3f} at every step",
                "Check the rewards and their weights: they do not depend on the answers.",
            )
        before, now = (fmean(one.times_truth for one in some) for some in (self._first, steps))
        if now > max(limits.longest, limits.growth * before):
            yield (
                f"completions are {now:.1f} times as long as the true answers, and were {before:.1f} times at first",
                "Lower learning_rate or raise beta, and look at what is rewarded.",
            )
        if (cut := fmean(one.at_cap for one in steps)) >= limits.at_cap:
            yield (
                f"{cut:.0%} of the completions are cut at the limit of tokens",
                "Raise max_completion_length, or start from an adapter that ends its answers.",
            )
        known = [one.kl for one in steps if one.kl is not None]
        if known and (apart := median(known)) > limits.kl:
            yield (
                f"the model has moved {apart:.1f} nats a token away from where it started",
                "Lower learning_rate or raise beta.",
            )
