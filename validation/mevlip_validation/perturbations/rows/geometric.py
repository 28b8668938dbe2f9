"""Rows 10 to 12: movements. Boxes move with the pixels."""

from __future__ import annotations

from math import cos, radians, sin

from mevlip_validation.perturbations.geometry import Affine, about_center
from mevlip_validation.perturbations.registry import Bounds, Random, movement


@movement(
    10, "rotation", "degrees", Bounds((5, 10, 15, 20, 25), 0.1, 45),
    box_bounds=Bounds((2, 4, 6, 8, 10), 0.1, 10), keeps_counts=False,
)  # fmt: skip
def rotation(size: tuple[int, int], parameter: float, random: Random) -> Affine:
    """Row 10: by ±parameter about the center; at most 10° where boxes are asked for, which grow loose beyond."""
    angle = radians(parameter) * random.choice((-1, 1))
    return about_center(size, cos(angle), sin(angle), -sin(angle), cos(angle))


@movement(11, "scaling", "factor", Bounds((0.95, 0.9, 0.85, 0.8, 0.75), 0.995, 0.5), identity=1.0)
def scaling(size: tuple[int, int], parameter: float, random: Random) -> Affine:
    """Row 11: shrunk by the factor toward the center."""
    return about_center(size, parameter, 0, 0, parameter)


@movement(12, "translation", "pixels", Bounds((5, 10, 15, 20, 25), 0.1, 50), keeps_counts=False)
def translation(size: tuple[int, int], parameter: float, random: Random) -> Affine:
    """Row 12: by U(-1, 1) · parameter pixels in each direction."""
    x, y = random.uniform(-1, 1, 2) * parameter
    return Affine(1, 0, x, 0, 1, y)
