"""Rows 32 to 35: slices of computed tomography; row 40, the window of radiographs, is row 35."""

from __future__ import annotations

import numpy as np
from skimage.exposure import rescale_intensity

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import grid, shares

_CT = frozenset({Modality.CT})
_WINDOW = Bounds((0.1, 0.2, 0.3, 0.4, 0.5), 0.05, 0.9)
RADIOGRAPHS = frozenset({Modality.XRAY, Modality.MAMMOGRAPHY})
_MOST_RAYS = 48


@perturbation(32, "metal_streaks", "ct", "height / 255", Bounds((0.15, 0.3, 0.45, 0.6, 0.75), 0.05, 1), modalities=_CT)
def metal_streaks(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 32: 8 + 4 · parameter / .15 rays from a point, bright and dark by turns, ± 255 · parameter."""
    height, width, _ = pixels.shape
    row, column = random.uniform(0.35, 0.65, 2) * (height, width)
    angles = random.uniform(0, 2 * np.pi, _MOST_RAYS)
    rows, columns = grid(pixels.shape)
    angle, distance = np.arctan2(rows - row, columns - column), np.hypot(rows - row, columns - column)
    fade = np.exp(-distance / max(height, width))
    for n, (one, there) in enumerate(zip(angles, shares(8 + 4 * parameter / 0.15, _MOST_RAYS), strict=True)):
        if there > 0:
            off = abs((angle - one + np.pi) % (2 * np.pi) - np.pi)
            pixels = pixels + (-1) ** n * 255 * parameter * there * np.exp(-((off / 0.02) ** 2)) * fade
    return pixels


@perturbation(
    33, "cupping", "ct", "share lost in the center", Bounds((0.1, 0.2, 0.3, 0.4, 0.5), 0.05, 0.9),
    modalities=_CT, mode="table",
)  # fmt: skip
def cupping(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 33: x · (1 - parameter · (1 - (d / r)²)), d from the center: beam hardening darkens the middle."""
    height, width, _ = pixels.shape
    rows, columns = grid(pixels.shape)
    distance = np.hypot(rows - height / 2, columns - width / 2) / np.hypot(height / 2, width / 2)
    return pixels * (1 - parameter * (1 - distance**2))


@perturbation(
    34, "photon_starvation", "ct", "sigma / 255", Bounds((0.03, 0.06, 0.09, 0.12, 0.15), 0.001, 0.4), modalities=_CT
)
def photon_starvation(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 34: x + 255 · N(0, parameter · √(x / 255 + 1))."""
    return pixels + 255 * parameter * np.sqrt(pixels / 255 + 1) * random.standard_normal(pixels.shape, np.float32)


@perturbation(35, "ct_window_level", "ct", "share of the range", _WINDOW, modalities=_CT, mode="table")
@perturbation(40, "xray_window_level", "xray", "share of the range", _WINDOW, modalities=RADIOGRAPHS, mode="table")
def window_level(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Rows 35 and 40: a window whose center is ± parameter of the range away, and (1 - .5 parameter) as wide."""
    center = 127.5 + 255 * parameter * random.choice((-1, 1))
    half = 127.5 * (1 - 0.5 * parameter)
    return np.asarray(rescale_intensity(pixels, in_range=(center - half, center + half), out_range=(0, 255)))
