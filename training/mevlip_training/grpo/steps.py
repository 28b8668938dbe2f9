"""What one step of a run did, in numbers and without a text: what the log keeps and the monitor judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from statistics import fmean, median, pstdev

from pydantic import field_validator

from mevlip.checkpoints.records import FrozenModel
from mevlip_training.grpo.scoring import Scored

SAME = 1e-6
"""Rewards that differ by less are the same."""


@dataclass(frozen=True)
class Group:
    """The completions of one question.

    Attributes:
        scores: What each earned.
        tokens: Length of each, in tokens without the one that ends it.
        cut: How many were cut at their limit of tokens.
    """

    scores: Sequence[Scored]
    tokens: Sequence[int]
    cut: int = 0

    @property
    def is_flat(self) -> bool:
        """Whether all completions earned the same, so that nothing is learned from them."""
        totals = [one.total for one in self.scores]
        return max(totals) - min(totals) < SAME

    @property
    def is_solved(self) -> bool:
        """Whether all completions are the same answer and earn everything: there is nothing to learn."""
        return min(one.total for one in self.scores) > 1 - SAME and len({one.answer for one in self.scores}) == 1


class Spread(FrozenModel):
    """Mean and standard deviation over the completions of a step."""

    mean: float
    std: float


class Step(FrozenModel):
    """One step."""

    step: int
    """Its number, from 1."""
    completions: int
    """How many completions were scored."""
    groups: int
    """How many questions they answer, each with several."""
    total: Spread
    """The weighted mean of the rewards."""
    parts: dict[str, Spread]
    """Each reward by its name, over the completions that it is for."""
    length_mean: float
    """Mean length of the completions, in tokens."""
    length_max: int
    """Length of the longest, in tokens."""
    at_cap: float
    """Share of completions that were cut at their limit of tokens."""
    times_truth: float
    """Median length in characters, over that of the true answer."""
    flat: float
    """Share of groups whose completions all earned the same: zero variance."""
    stuck: float
    """Share of groups that are flat without being solved: not all of them the same answer with the whole reward."""
    commonest: str
    """A digest of the commonest answer; it stays out of the log, where that of a letter would be read at once."""
    commonest_share: float
    """Share of completions that give it."""
    kl: float | None = None
    """Estimated divergence from the model that the run started from, in nats a token; None where not known."""
    loss: float | None = None
    """The loss; None where not known."""
    learning_rate: float = 0.0
    """The learning rate."""
    seconds: float = 0.0
    """Wall-clock time."""

    @field_validator("kl", "loss", "learning_rate", "seconds", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        """Tensors of one number become numbers."""
        return value.item() if hasattr(value, "item") else value

    @property
    def is_finite(self) -> bool:
        """Whether loss and divergence are numbers, as far as they are known."""
        return all(value is None or isfinite(value) for value in (self.loss, self.kl))


def summarize(
    step: int,
    groups: Sequence[Group],
    *,
    kl: float | None = None,
    loss: float | None = None,
    learning_rate: float = 0.0,
    seconds: float = 0.0,
) -> Step:
    """Puts a step in numbers.

    Args:
        step: Its number.
        groups: Its completions, by question; at least one.
        kl: See `Step`.
        loss: See `Step`.
        learning_rate: See `Step`.
        seconds: See `Step`.
    """
    scores = [one for group in groups for one in group.scores]
    tokens = [length for group in groups for length in group.tokens]
    names = dict.fromkeys(name for one in scores for name in one.parts)
    [(commonest, times)] = Counter(one.answer for one in scores).most_common(1)
    return Step(
        step=step,
        completions=len(scores),
        groups=len(groups),
        total=_spread([one.total for one in scores]),
        parts={name: _spread([one.parts[name] for one in scores if name in one.parts]) for name in names},
        length_mean=fmean(tokens),
        length_max=max(tokens),
        at_cap=sum(group.cut for group in groups) / len(tokens),
        times_truth=median(one.times_truth for one in scores),
        flat=fmean(group.is_flat for group in groups),
        stuck=fmean(group.is_flat and not group.is_solved for group in groups),
        commonest=sha256(commonest.encode("utf-8", "surrogatepass")).hexdigest(),
        commonest_share=times / len(scores),
        kl=kl,
        loss=loss,
        learning_rate=learning_rate,
        seconds=seconds,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean=fmean(values), std=pstdev(values))
