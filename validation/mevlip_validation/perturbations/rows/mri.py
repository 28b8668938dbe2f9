"""Rows 29 to 31: slices of magnetic resonance images."""

from __future__ import annotations

import numpy as np

from mevlip_validation.perturbations.registry import Bounds, Modality, Pixels, Random, perturbation
from mevlip_validation.perturbations.shapes import smooth_field

_MRI = frozenset({Modality.MRI})


@perturbation(29, "kspace_motion", "mri", "pixels", Bounds((2, 5, 10, 18, 30), 0.5, 50), modalities=_MRI)
def kspace_motion(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 29: a share of the k-space lines, .15 to .8 at the five levels, is of a patient moved by ≤ parameter."""
    height = pixels.shape[0]
    share = np.interp(parameter, (0, 2, 5, 10, 18, 30, 50), (0, 0.15, 0.3, 0.45, 0.6, 0.8, 0.9))
    drawn = random.random((height,))
    shift = random.uniform(-1, 1, height) * parameter
    drawn[:1] = 1  # the line of the mean stays
    lines = np.fft.fft(pixels, axis=0)
    ramp = np.exp(-2j * np.pi * np.fft.fftfreq(height) * np.where(drawn < share, shift, 0))
    return abs(np.fft.ifft(lines * ramp[:, None, None], axis=0)).astype(np.float32)


@perturbation(30, "bias_field", "mri", "share", Bounds((0.3, 0.5, 0.7, 0.85, 0.95), 0.1, 0.98), modalities=_MRI)
def bias_field(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 30: x · (1 + parameter · f), f a smooth field from -1 to 1."""
    return pixels * (1 + parameter * smooth_field(pixels.shape, random))


@perturbation(
    31, "ghosting", "mri", "weight of the first ghost", Bounds((0.1, 0.2, 0.35, 0.5, 0.7), 0.05, 1), modalities=_MRI
)
def ghosting(pixels: Pixels, parameter: float, random: Random) -> Pixels:
    """Row 31: six copies, the n-th moved by n steps along the columns and of weight parameter · n^-.8; same mean."""
    step = round(random.uniform(0.08, 0.14) * pixels.shape[0])
    weights = [parameter * n**-0.8 for n in range(1, 7)]
    ghosts = sum(weight * np.roll(pixels, n * step, axis=0) for n, weight in enumerate(weights, 1))
    return (pixels + ghosts) / (1 + sum(weights))
