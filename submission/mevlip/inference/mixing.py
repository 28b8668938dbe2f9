"""Mixing two adapters: how much each counts for a question, from how much they disagree about its first token."""

from __future__ import annotations

import torch

from mevlip.checkpoints.routes import Mix


def share(own: torch.Tensor, other: torch.Tensor, mix: Mix) -> torch.Tensor:
    """The share of the adapter that a route mixes its own with, (rows,), float32 between 0 and 1.

    Args:
        own: Logits of the answer's first token under the route's own adapter, (rows, vocabulary).
        other: The same under the other adapter.
        mix: What the route says.
    """
    return mix.least + (mix.most - mix.least) * torch.sigmoid(mix.gamma * divergence(own, other))


def divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence of the distributions that two sets of logits stand for.

    Args:
        one: Logits, (rows, vocabulary).
        other: As many.

    Returns:
        (rows,), float32, with the natural logarithm: from 0 for equal distributions to 0.693 for disjoint ones.
    """
    first, second = (logits.softmax(-1, dtype=torch.float32) for logits in (one, other))
    # Where both chances are too small for float32, they count for nothing, not for 0 / 0.
    middle = ((first + second) / 2).clamp(min=torch.finfo(torch.float32).tiny)
    return sum(torch.xlogy(part, part / middle).sum(-1) / 2 for part in (first, second)).clamp(min=0)  # type: ignore[union-attr]
