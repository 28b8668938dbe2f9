"""One picture, one perturbation, one level."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mevlip.core.errors import InputError
from mevlip_validation.defaults import LEVELS
from mevlip_validation.perturbations.geometry import STILL, BoxMap
from mevlip_validation.perturbations.registry import Mode, Perturbation, Pixels, find
from mevlip_validation.perturbations.severity import Calibrations, Level, content_hash, search, ssim

LEAST_SIDE = 16
"""Pixels; the shapes of smaller pictures would be smaller than a pixel."""


@dataclass(frozen=True)
class Perturbed:
    """A perturbed picture and how strong the perturbation is.

    Attributes:
        picture: The picture, 8-bit RGB, as large as the clean one.
        boxes: Where it has the clean picture's boxes.
        parameter: The parameter that was used; None at level 0.
        ssim: Its SSIM with the clean picture.
        reached: Whether that lies within the level's target; None where the level is one of the published parameters,
            and at level 0.
    """

    picture: Image.Image = field(repr=False)
    boxes: BoxMap
    parameter: float | None
    ssim: float
    reached: bool | None


def perturb(
    picture: Image.Image,
    perturbation: str | Perturbation,
    level: int,
    seed: int = 0,
    *,
    mode: Mode | None = None,
    for_boxes: bool = False,
    calibrations: Calibrations | None = None,
) -> Perturbed:
    """Perturbs a picture. The same picture, perturbation, level and seed give the same bytes.

    Args:
        picture: The picture as the model would see it; other modes than RGB are converted.
        perturbation: The perturbation or its name.
        level: 0, the clean picture, to 5.
        seed: Seed of the random numbers, beside the picture's pixels and the perturbation.
        mode: `ssim`: the parameter that gives the level's SSIM; `table`: the published one; None: the perturbation's
            own default.
        for_boxes: Whether boxes are asked for, so that movements stay within what boxes can follow.
        calibrations: Where parameters are kept that were searched for; None to search each time.

    Raises:
        InputError: The picture is too small.
        LookupError: There is no such perturbation.
        ValueError: There is no such level.
    """
    if level not in (0, *LEVELS):
        raise ValueError(f"level {level} is not 0 to {LEVELS[-1]}")
    check_size(picture)
    one = find(perturbation) if isinstance(perturbation, str) else perturbation
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    if level == 0:
        return Perturbed(picture, BoxMap(STILL, picture.size), None, 1.0, None)
    clean = _values(picture, one.color)
    bounds = one.box_bounds if for_boxes and one.box_bounds else one.bounds
    seeds = (seed, *f"{one.name}/{content_hash(clean)}".encode())

    def change(parameter: float) -> NDArray[np.uint8]:
        changed: Pixels = one.change(clean.astype(np.float32), parameter, np.random.default_rng(seeds))
        return np.clip(changed, 0, 255).round().astype(np.uint8)

    def calibrate() -> tuple[Level, ...]:
        return search(lambda parameter: ssim(clean, change(parameter)), bounds, whole=one.whole)

    reached: bool | None = None
    if (mode or one.mode) == "ssim":
        levels = (calibrations or Calibrations()).levels(one.name, clean, seed, bounds, calibrate)
        parameter, similarity, reached = levels[level - 1]
        pixels = change(parameter)
    else:
        parameter = bounds.levels[level - 1]
        pixels = change(parameter)
        similarity = ssim(clean, pixels)
    to = one.move(picture.size, parameter, np.random.default_rng(seeds)) if one.move else STILL
    moved = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
    return Perturbed(moved, BoxMap(to, picture.size), parameter, similarity, reached)


def check_size(picture: Image.Image, name: str = "The picture") -> None:
    """Refuses a picture that is too small.

    Raises:
        InputError: It is.
    """
    if min(picture.size) < LEAST_SIDE:
        raise InputError(
            f"{name} has {picture.width} x {picture.height} pixels", f"Enlarge it to {LEAST_SIDE} x {LEAST_SIDE}."
        )


def _values(picture: Image.Image, color: bool) -> NDArray[np.uint8]:
    """A picture's values (height, width, channels), one channel of a gray one unless color is needed."""
    values = np.asarray(picture)
    is_gray = bool((values == values[..., :1]).all())
    return values[..., :1] if is_gray and not color else values
