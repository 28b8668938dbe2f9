"""Shapes that several perturbations draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.floating[Any]]
"""(height, width, 1), 0 where nothing changes to 1."""


def grid(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows (height, 1, 1) and columns (1, width, 1) of a picture's pixels."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return rows[..., None].astype(np.float32), columns[..., None].astype(np.float32)


def shares(count: float, most: int) -> NDArray[np.float64]:
    """How far each of at most `most` objects is there, so that a number of objects grows without steps."""
    return np.clip(count - np.arange(most), 0, 1)


def spot(shape: tuple[int, ...], row: float, column: float, sigma: float) -> Mask:
    """A Gaussian spot of height 1."""
    rows, columns = grid(shape)
    return np.exp(-((rows - row) ** 2) / (2 * sigma**2)) * np.exp(-((columns - column) ** 2) / (2 * sigma**2))


def disc(shape: tuple[int, ...], row: float, column: float, radius: float, edge: float, stretch: float = 1.0) -> Mask:
    """A disc, or an ellipse `stretch` times as wide as high, with a soft edge of that share of the radius."""
    rows, columns = grid(shape)
    distance = np.sqrt((rows - row) ** 2 * stretch + (columns - column) ** 2 / stretch) / max(radius, 1e-6)
    return np.clip((1 + edge - distance) / (2 * edge), 0, 1)


def smooth_field(shape: tuple[int, ...], random: np.random.Generator) -> Mask:
    """A smooth random field from -1 to 1: few waves across the picture."""
    rows, columns = grid(shape)
    field = np.zeros((shape[0], shape[1], 1), np.float32)
    for up in range(3):
        for across in range(3):
            weight, phase, other = random.uniform(-1, 1, 3)
            if up or across:
                field += (
                    weight
                    * np.cos(np.pi * (up * rows / shape[0] + phase))
                    * np.cos(np.pi * (across * columns / shape[1] + other))
                )
    field -= (field.max() + field.min()) / 2
    return field / max(float(abs(field).max()), 1e-6)
