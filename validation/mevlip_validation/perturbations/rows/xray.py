"""Rows 36 to 39: radiographs and mammograms; row 40, their window, stands with that of CT (`ct.py`)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mevlip_validation.perturbations.registry import Bounds, Pixels, Random, perturbation
from mevlip_validation.perturbations.rows.ct import RADIOGRAPHS
from mevlip_validation.perturbations.shapes import grid


@perturbation(
    36, "scatter", "xray", "share of scattered light", Bounds((0.05, 0.1, 0.15, 0.22, 0.3), 0.02, 2),
    modalities=RADIOGRAPHS,
)  # fmt: skip
def scatter(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 36: x + parameter · Gaussian blur of x with sigma 30 pixels."""
    return pixels + parameter * gaussian_filter(pixels, (30, 30, 0), mode="nearest")


@perturbation(
    37, "under_exposure", "xray", "factor", Bounds((0.85, 0.7, 0.55, 0.4, 0.25), 0.98, 0.1),
    modalities=RADIOGRAPHS, mode="table", identity=1.0,
)  # fmt: skip
@perturbation(
    38, "over_exposure", "xray", "factor", Bounds((1.15, 1.3, 1.5, 1.75, 2.0), 1.02, 4),
    modalities=RADIOGRAPHS, mode="table", identity=1.0,
)  # fmt: skip
def exposure(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Rows 37 and 38: x · parameter, cut off at 255 and never stretched again."""
    return pixels * np.float32(parameter)


@perturbation(
    39, "grid_pattern", "xray", "share", Bounds((0.03, 0.06, 0.1, 0.15, 0.22), 0.01, 0.9), modalities=RADIOGRAPHS
)
def grid_pattern(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 39: every fourth row · (1 - parameter)."""
    rows, _ = grid(pixels.shape)
    return pixels * np.where(rows % 4 == 0, np.float32(1 - parameter), np.float32(1))
