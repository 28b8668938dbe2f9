"""Rows 25 and 26: ultrasound."""

from __future__ import annotations

import numpy as np

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import grid

_ULTRASOUND = frozenset({Modality.ULTRASOUND})


@perturbation(
    25, "acoustic_shadow", "ultrasound", "attenuation", Bounds((0.3, 0.45, 0.55, 0.7, 0.85), 0.1, 0.95),
    modalities=_ULTRASOUND,
)  # fmt: skip
def acoustic_shadow(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 25: in a wedge below a point, x · (1 - parameter · (1 - exp(-3 d))), d the depth below it in heights."""
    height, width, _ = pixels.shape
    rows, columns = grid(pixels.shape)
    top, center = random.uniform(0.05, 0.3) * height, random.uniform(0.3, 0.7) * width
    depth = np.clip(rows - top, 0, None) / height
    half = (0.08 + 0.25 * depth) * width
    wedge = np.clip((half - abs(columns - center)) / (0.04 * width), 0, 1)
    return pixels * (1 - parameter * (1 - np.exp(-3 * depth)) * wedge)


@perturbation(
    26, "reverberation", "ultrasound", "height of the first band / 255",
    Bounds((0.12, 0.18, 0.25, 0.35, 0.45), 0.05, 0.6), modalities=_ULTRASOUND,
)  # fmt: skip
def reverberation(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 26: eight bright bands at equal distances, each .8 times as bright as the one above."""
    height = pixels.shape[0]
    rows, _ = grid(pixels.shape)
    first = random.uniform(0.05, 0.12) * height
    bands = sum(0.8**n * np.exp(-(((rows - first - n * height / 9) / (0.012 * height)) ** 2)) for n in range(8))
    return pixels + 255 * parameter * bands
