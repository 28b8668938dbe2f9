"""Rows 13 to 15: photographs of skin."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import grid, spot

_SKIN = frozenset({Modality.DERMATOLOGY})
_MOST_HAIRS = 60


@perturbation(
    13, "vignette", "dermoscopy", "share lost in the corners", Bounds((0.1, 0.2, 0.3, 0.4, 0.5), 0.05, 0.8),
    modalities=_SKIN, mode="table",
)  # fmt: skip
def vignette(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 13: x · (1 - parameter · d / r), d from the center, r that of the corners."""
    height, width, _ = pixels.shape
    rows, columns = grid(pixels.shape)
    distance = np.hypot(rows - height / 2, columns - width / 2) / np.hypot(height / 2, width / 2)
    return pixels * (1 - parameter * distance)


@perturbation(
    14, "light_reflection", "dermoscopy", "height / 255", Bounds((0.3, 0.6, 0.9, 1.2, 1.5), 0.05, 2.4),
    modalities=_SKIN | {Modality.CLINICAL},
    apart={Modality.CLINICAL: "jaundice is read from the color of the skin"},
)  # fmt: skip
def light_reflection(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 14: + 255 · parameter · Gaussian spot, whose sigma grows from a tenth to half of the shorter side."""
    height, width, _ = pixels.shape
    row, column = random.uniform(0.25, 0.75, 2)
    sigma = min(height, width) / (10 - parameter / 0.3)
    return pixels + 255 * parameter * spot(pixels.shape, row * height, column * width, sigma)


@perturbation(
    15, "hair", "dermoscopy", "hairs", Bounds((3, 6, 9, 12, 15), 1, _MOST_HAIRS), modalities=_SKIN, whole=True
)  # fmt: skip
def hair(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 15: dark Bezier curves, a pixel or more wide, blurred over 3 x 3 pixels."""
    height, width, _ = pixels.shape
    corners = random.uniform(0, 1, (_MOST_HAIRS, 3, 2)) * (width, height)
    widths = random.integers(1, 3, _MOST_HAIRS, endpoint=True) * max(1, round(min(height, width) / 400))
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    along = np.linspace(0, 1, 40)[:, None]
    for (start, bend, end), thickness in zip(corners[: round(parameter)], widths, strict=False):
        curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        pen.line([(float(x), float(y)) for x, y in curve], fill=230, width=int(thickness))
    soft = np.asarray(mask.filter(ImageFilter.BoxBlur(1)), np.float32)[..., None] / 255
    return pixels + soft * (25 - pixels)
