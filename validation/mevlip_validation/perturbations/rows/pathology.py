"""Rows 27 and 28: microscopy."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from skimage.color import hsv2rgb, rgb2hsv

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import disc, smooth_field

_MICROSCOPY = frozenset({Modality.MICROSCOPY})


@perturbation(
    27, "stain_variation", "pathology", "strength", Bounds((0.08, 0.12, 0.18, 0.25, 0.35), 0.05, 0.8),
    modalities=_MICROSCOPY, mode="table", color=True,
)  # fmt: skip
def stain_variation(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 27: hue ± 40° · parameter, saturation · (1 ± parameter), value · (1 ± .6 parameter), uneven above .15."""
    signs, field = random.choice((-1, 1), 3), smooth_field(pixels.shape, random)
    strength = parameter + max(0.0, parameter - 0.15) * field
    hue, saturation, value = np.split(rgb2hsv(np.clip(pixels / 255, 0, 1)), 3, axis=2)
    hue = (hue + signs[0] * 40 / 360 * strength) % 1
    saturation = np.clip(saturation * (1 + signs[1] * strength), 0, 1)
    value = np.clip(value * (1 + signs[2] * 0.6 * strength), 0, 1)
    return 255 * hsv2rgb(np.concatenate([hue, saturation, value], axis=2)).astype(np.float32)


@perturbation(
    28, "slide_bubbles", "pathology", "bubbles", Bounds((1, 2, 3, 4, 5), 1, 15), modalities=_MICROSCOPY, whole=True
)
def slide_bubbles(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 28: discs filled toward the background, with a dark rim, and two cracks for each bubble after the first."""
    height, width, _ = pixels.shape
    count = round(parameter)
    places = random.uniform(0, 1, (15, 2)) * (height, width)
    radii = random.uniform(0.06, 0.14, 15) * min(height, width)
    ends = random.uniform(0, 1, (28, 2, 2)) * (width, height)
    background = np.percentile(pixels, 95, axis=(0, 1)).astype(np.float32)
    for (row, column), radius in zip(places[:count], radii, strict=False):
        outer, inner = (disc(pixels.shape, row, column, share * radius, 0.04) for share in (1, 0.9))
        pixels = pixels * (1 - 0.6 * (outer - inner).clip(0)) + 0.8 * inner * (background - pixels)
    cracks = Image.new("L", (width, height))
    pen = ImageDraw.Draw(cracks)
    for start, end in ends[: max(0, 2 * (count - 1))]:
        pen.line((*start, *end), fill=255)
    return pixels * (1 - 0.6 * np.asarray(cracks, np.float32)[..., None] / 255)
