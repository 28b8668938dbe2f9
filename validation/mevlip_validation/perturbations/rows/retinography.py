"""Rows 20 to 24: retinography; row 23, defocus, is a Gaussian blur (`base.py`)."""

from __future__ import annotations

import numpy as np

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import grid

_RETINA = frozenset({Modality.RETINOGRAPHY})
_APART = {Modality.RETINOGRAPHY: "an artifact of OCT scans, which a fundus photograph cannot have"}
_BLOCKS = 16


@perturbation(
    20, "band_shadow", "retinography", "share of the width", Bounds((0.03, 0.05, 0.08, 0.12, 0.18), 0.02, 0.25),
    modalities=_RETINA, apart=_APART,
)  # fmt: skip
def band_shadow(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 20: one to three vertical bands of that width, darkened by four fifths, with soft edges."""
    width = pixels.shape[1]
    _, columns = grid(pixels.shape)
    places, count = random.uniform(0.1, 0.9, 3) * width, random.integers(1, 3, endpoint=True)
    mask = np.zeros((1, width, 1), np.float32)
    for place in places[:count]:
        distance = abs(columns - place) / max(parameter * width / 2, 1e-6)
        mask = np.maximum(mask, np.clip(1.5 - distance, 0, 1))
    return pixels * (1 - 0.8 * mask)


@perturbation(
    21, "blink", "retinography", "bands", Bounds((1, 2, 3, 4, 6), 1, 8), modalities=_RETINA, whole=True, apart=_APART
)
def blink(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 21: horizontal black bands, each a fiftieth to a twentieth of the height."""
    height = pixels.shape[0]
    rows, _ = grid(pixels.shape)
    starts, heights = random.uniform(0, 0.95, 8) * height, random.uniform(1 / 50, 1 / 20, 8) * height
    for start, band in zip(starts[: round(parameter)], heights, strict=False):
        pixels = np.where((rows >= start) & (rows < start + band), 0, pixels)
    return pixels


@perturbation(
    22, "scan_motion", "retinography", "share of the width", Bounds((0.02, 0.04, 0.06, 0.1, 0.15), 0.001, 0.2),
    modalities=_RETINA, apart=_APART,
)  # fmt: skip
def scan_motion(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 22: sixteen blocks of rows, each rolled to a side by at most that share of the width."""
    reach = parameter * pixels.shape[1]
    blocks = np.array_split(pixels, _BLOCKS)
    steps = np.round(random.uniform(-1, 1, _BLOCKS) * reach).astype(int)
    return np.concatenate([np.roll(block, step, axis=1) for block, step in zip(blocks, steps, strict=True)])


@perturbation(
    24, "multiplicative_speckle", "retinography", "sigma", Bounds((0.08, 0.15, 0.25, 0.35, 0.5), 0.01, 0.6),
    modalities=_RETINA,
)  # fmt: skip
def multiplicative_speckle(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 24: x · lognormal(0, parameter) / its mean."""
    drawn = random.standard_normal(pixels.shape, np.float32)
    return pixels * np.exp(parameter * drawn - parameter**2 / 2)
