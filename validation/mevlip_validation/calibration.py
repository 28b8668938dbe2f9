"""Calibration of confidences: reliability, expected calibration error, intervals of shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10
_Z95 = 1.959964  # the normal distribution's 97.5 % quantile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of similar confidence: `low` < confidence <= `high`, and the means over them."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def wilson_interval(right: int, total: int, z: float = _Z95) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927), 95 % by default.

    Args:
        right: Successes.
        total: Trials, at least one.
        z: Quantile of the normal distribution.
    """
    share = right / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def reliability(confidence: Floats, right: npt.NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Sorts answers into `BINS` bins of equal width; empty bins are left out."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        ReliabilityBin(
            low=i / BINS,
            high=(i + 1) / BINS,
            count=int(chosen.sum()),
            confidence=float(confidence[chosen].mean()),
            accuracy=float(right[chosen].mean()),
        )
        for i in range(BINS)
        if (chosen := place == i).any()
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their counts (Naeini et al. 2015)."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / total
