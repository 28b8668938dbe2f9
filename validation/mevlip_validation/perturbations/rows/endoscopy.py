"""Rows 16 to 19: endoscopy."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import disc, grid, shares, spot

_ENDOSCOPY = frozenset({Modality.ENDOSCOPY})


@perturbation(
    16, "specular_reflection", "endoscopy", "strength", Bounds((0.15, 0.25, 0.4, 0.55, 0.7), 0.01, 0.85),
    modalities=_ENDOSCOPY,
)  # fmt: skip
def specular_reflection(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 16: 2 + 8 · parameter white spots, sigma = shorter side · (.02 + .03 · parameter), half as large at least."""
    height, width, _ = pixels.shape
    places = random.uniform(0.1, 0.9, (10, 2)) * (height, width)
    sizes = random.uniform(0.5, 1, 10) * min(height, width) * (0.02 + 0.03 * parameter)
    for (row, column), sigma, there in zip(places, sizes, shares(2 + 8 * parameter, 10), strict=True):
        mask = np.minimum(1, 1.5 * spot(pixels.shape, row, column, sigma))
        pixels = pixels + there * min(1, 4 * parameter) * mask * (255 - pixels)
    return pixels


@perturbation(
    17,
    "bubbles",
    "endoscopy",
    "density",
    Bounds((0.02, 0.04, 0.07, 0.1, 0.15), 0.01, 0.2),
    modalities=_ENDOSCOPY,
    identity=None,
)
def bubbles(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 17: at least 3, else 80 · parameter discs that magnify twice, with a dark rim and a highlight."""
    height, width, _ = pixels.shape
    places = random.uniform(0, 1, (16, 2)) * (height, width)
    radii = random.uniform(0.04, 0.09, 16) * min(height, width)
    changed = pixels.copy()
    for (row, column), radius, there in zip(places, radii, shares(max(3, 80 * parameter), 16), strict=True):
        top, left = (max(0, int(one - radius - 1)) for one in (row, column))
        window = changed[top : int(row + radius + 2), left : int(column + radius + 2)]
        window += there * _bubble(window, row - top, column - left, radius)
    return changed


def _bubble(pixels: Pixels, row: float, column: float, radius: float) -> Pixels:
    """What a bubble adds to pixels."""
    rows, columns = grid(pixels.shape)
    distance = np.hypot(rows - row, columns - column) / radius
    inside = np.clip((1 - distance) * radius, 0, 1)  # its edge is a pixel wide
    pull = 0.5 + 0.5 * np.minimum(distance, 1) ** 2
    places = ((row + (rows - row) * pull)[..., 0], (column + (columns - column) * pull)[..., 0])
    seen = np.stack(
        [map_coordinates(one, places, order=1, mode="nearest") for one in np.moveaxis(pixels, 2, 0)], axis=2
    )
    seen = seen * (1 - 0.4 * np.clip((distance - 0.8) / 0.2, 0, 1))
    seen = seen + 200 * spot(pixels.shape, row - 0.4 * radius, column - 0.4 * radius, 0.15 * radius)
    return inside * (np.minimum(seen, 255) - pixels)


@perturbation(
    18, "blood", "endoscopy", "share of the area", Bounds((0.02, 0.05, 0.1, 0.18, 0.28), 0.01, 0.35),
    modalities=_ENDOSCOPY, mode="table", color=True,
)  # fmt: skip
def blood(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 18: in soft ellipses m, green and blue · (1 - .5 m), red · (1 - .1 m)."""
    mask = _discs(pixels, parameter, random, edge=0.3, stretch=1.6)
    return pixels * (1 - mask * np.array((0.1, 0.5, 0.5), np.float32))


@perturbation(
    19, "local_over_exposure", "endoscopy", "share of the area", Bounds((0.01, 0.03, 0.06, 0.1, 0.15), 0.005, 0.2),
    modalities=_ENDOSCOPY | {Modality.CLINICAL}, mode="table",
    apart={Modality.CLINICAL: "jaundice is read from the color of the skin"},
)  # fmt: skip
def local_over_exposure(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 19: blended to white in soft discs."""
    return pixels + _discs(pixels, parameter, random, edge=0.5) * (255 - pixels)


def _discs(pixels: Pixels, area: float, random: Random, *, edge: float, stretch: float = 1.0) -> Pixels:
    """Four discs of that share of the picture's area together, where they do not overlap."""
    height, width, _ = pixels.shape
    places = random.uniform(0.2, 0.8, (4, 2)) * (height, width)
    weights = random.uniform(0.5, 1, 4)
    mask = np.zeros((height, width, 1), np.float32)
    for (row, column), share in zip(places, weights / weights.sum(), strict=True):
        radius = np.sqrt(area * share * height * width / np.pi)
        mask = np.maximum(mask, disc(pixels.shape, row, column, radius, edge, stretch))
    return mask
