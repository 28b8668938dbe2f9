"""Changing pixels within a bound so that a loss rises or falls: FGSM and PGD, and noise to compare them with.

What is attacked is 8-bit: every result is rounded, and its loss is that of the rounded pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Method = Literal["pgd", "fgsm", "noise"]
Tiles = NDArray[np.uint8]
Loss = Callable[[torch.Tensor], torch.Tensor]
"""Pixels, 0 to 255 and not rounded, to one number with its gradient."""

_CROSSING = 2.5
"""How often the steps of PGD together could cross the radius of the ball (Madry et al. 2018)."""


@dataclass(frozen=True)
class Attacked:
    """What was made of some pixels.

    Attributes:
        epsilon: By how many levels of 255 each pixel may differ from the clean one; 0 for the clean ones.
        tiles: The pixels.
        loss: Their loss.
    """

    epsilon: int
    tiles: Tiles
    loss: float


def attack(
    loss: Loss,
    clean: Tiles,
    epsilons: Sequence[int],
    *,
    method: Method = "pgd",
    iterations: int = 10,
    falling: bool = False,
    random: np.random.Generator | None = None,
) -> tuple[Attacked, ...]:
    """Attacks pixels at several strengths.

    FGSM takes one step in the direction of the gradient's signs at the clean pixels. PGD takes several and comes back
    into the ball after each. Its first ball is entered at a random place, each wider one at the result of the one
    before. The result is the best of that result, the last step and the best before it: the loss never turns back.
    Noise takes one step in a direction drawn at random: what the same change does without a gradient.

    Args:
        loss: The loss.
        clean: The pixels, of any shape.
        epsilons: By how many levels of 255 each may change, from 1.
        method: The method.
        iterations: Steps of PGD.
        falling: Whether the loss is to fall rather than to rise.
        random: Random numbers of PGD's start and of noise; None for those of seed 0.

    Returns:
        The clean pixels, then the result of each epsilon, the smallest first.
    """
    sign = -1.0 if falling else 1.0
    center = torch.from_numpy(clean).float()
    untouched = Attacked(0, clean, _measure(loss, clean))
    ordered = sorted({*epsilons})
    random = random or np.random.default_rng(0)
    if method != "pgd":
        signs = _slope(loss, center)[1] if method == "fgsm" else _random_signs(clean.shape, random)
        direction = sign * signs
        return untouched, *(_rounded(loss, center + epsilon * direction, epsilon) for epsilon in ordered)
    drawn = random.uniform(-1, 1, clean.shape).astype(np.float32)
    found = [untouched]
    for epsilon in ordered:
        before = found[-1]
        low, high = (center - epsilon).clamp(min=0), (center + epsilon).clamp(max=255)
        entered = center + epsilon * torch.from_numpy(drawn) if len(found) == 1 else torch.from_numpy(before.tiles)
        last = highest = entered.float().clamp(low, high)
        most = -math.inf
        for _ in range(iterations):
            value, signs = _slope(loss, last)
            if sign * value > most:
                most, highest = sign * value, last
            last = (last + sign * _CROSSING * epsilon / iterations * signs).clamp(low, high)
        made = (before, *(_rounded(loss, pixels, epsilon) for pixels in (highest, last)))
        best = max(made, key=lambda one: sign * one.loss)
        found.append(replace(best, epsilon=epsilon))
    return tuple(found)


def _random_signs(shape: tuple[int, ...], random: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(random.choice(np.array([-1, 1], np.float32), shape))


def _slope(loss: Loss, pixels: torch.Tensor) -> tuple[float, torch.Tensor]:
    """A loss and the signs of its gradient; only the pixels get one."""
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(pixels)
        [gradient] = torch.autograd.grad(value, [pixels])
    return value.item(), gradient.sign()


def _rounded(loss: Loss, pixels: torch.Tensor, epsilon: int) -> Attacked:
    tiles: Tiles = pixels.clamp(0, 255).round().to(torch.uint8).numpy()
    return Attacked(epsilon, tiles, _measure(loss, tiles))


def _measure(loss: Loss, tiles: Tiles) -> float:
    with torch.no_grad():
        return float(loss(torch.from_numpy(tiles).float()))
