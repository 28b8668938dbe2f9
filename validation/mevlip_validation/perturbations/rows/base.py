"""Rows 1 to 9: noise and degradations of any picture."""

from __future__ import annotations

from io import BytesIO
from math import ceil, cos, radians, sin

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import oaconvolve

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation

BLUR_LEVELS = (0.5, 1, 1.5, 2, 3)
_SHARES = Bounds((0.05, 0.1, 0.15, 0.2, 0.3), 0.01, 0.6)
_EVIDENCE = {Modality.CLINICAL: "jaundice is read from the color of the skin"}


@perturbation(1, "gaussian_noise", "noise", "sigma / 255", Bounds((0.01, 0.02, 0.03, 0.05, 0.08), 0.001, 0.3))
def gaussian_noise(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 1: x + N(0, 255 · parameter)."""
    return pixels + 255 * parameter * random.standard_normal(pixels.shape, np.float32)


@perturbation(
    2, "salt_and_pepper_noise", "noise", "share of pixels", Bounds((0.001, 0.003, 0.005, 0.01, 0.02), 1e-4, 0.1)
)
def salt_and_pepper_noise(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 2: half of the share of pixels becomes black, half white, in all channels alike."""
    drawn = random.random((*pixels.shape[:2], 1), np.float32)
    return np.where(drawn < parameter / 2, 0, np.where(drawn >= 1 - parameter / 2, 255, pixels)).astype(np.float32)


@perturbation(3, "speckle_noise", "noise", "sigma", Bounds((0.05, 0.1, 0.15, 0.2, 0.25), 0.01, 0.8))
def speckle_noise(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 3: x · N(1, parameter)."""
    return pixels * (1 + parameter * random.standard_normal(pixels.shape, np.float32))


@perturbation(4, "gaussian_blur", "degradation", "sigma in pixels", Bounds(BLUR_LEVELS, 0.1, 10))
@perturbation(
    23, "defocus", "retinography", "sigma in pixels", Bounds(BLUR_LEVELS, 0.3, 4),
    modalities=frozenset({Modality.RETINOGRAPHY, Modality.MICROSCOPY}),
)  # fmt: skip
def gaussian_blur(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Rows 4 and 23: convolution with a Gaussian."""
    return gaussian_filter(pixels, (parameter, parameter, 0), mode="nearest")


@perturbation(5, "motion_blur", "degradation", "pixels", Bounds((3, 5, 7, 9, 11), 1.1, 25), identity=1.0)
def motion_blur(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 5: mean along a line of that length in a random direction."""
    angle = radians(random.uniform(-180, 180))
    steps = np.linspace(-0.5, 0.5, 8 * ceil(parameter) + 1) * (parameter - 1)
    reach = ceil(parameter / 2)
    grid = np.arange(-reach, reach + 1)
    tent_y = np.maximum(0, 1 - abs(grid[:, None] - steps * sin(angle)))  # (rows, steps)
    tent_x = np.maximum(0, 1 - abs(grid[:, None] - steps * cos(angle)))
    kernel = (tent_y @ tent_x.T / len(steps)).astype(np.float32)
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1)).astype(np.float32)


@perturbation(6, "brightness", "degradation", "share", _SHARES, mode="table", apart=_EVIDENCE)
def brightness(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 6: x · (1 ± parameter)."""
    return pixels * np.float32(1 + parameter * random.choice((-1, 1)))


@perturbation(7, "contrast", "degradation", "share", _SHARES, mode="table", apart=_EVIDENCE)
def contrast(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 7: mean + (x - mean) · (1 ± parameter)."""
    mean = pixels.mean(dtype=np.float64).astype(np.float32)
    return mean + (pixels - mean) * np.float32(1 + parameter * random.choice((-1, 1)))


@perturbation(8, "jpeg", "degradation", "quality", Bounds((90, 70, 50, 30, 10), 95, 5), identity=None, whole=True)
def jpeg(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 8: written and read as JPEG of that quality."""
    file = BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8).squeeze()).save(file, "JPEG", quality=round(parameter))
    return np.asarray(Image.open(file), dtype=np.float32).reshape(pixels.shape)


@perturbation(9, "pixelation", "degradation", "factor", Bounds((0.8, 0.6, 0.5, 0.4, 0.3), 0.98, 0.1), identity=1.0)
def pixelation(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 9: shrunk by the factor and enlarged again, each pixel from its nearest one."""
    height, width, _ = pixels.shape
    small = (max(1, round(width * parameter)), max(1, round(height * parameter)))
    picture = Image.fromarray(pixels.round().astype(np.uint8).squeeze())
    nearest = Image.Resampling.NEAREST
    return np.asarray(picture.resize(small, nearest).resize((width, height), nearest), np.float32).reshape(pixels.shape)
