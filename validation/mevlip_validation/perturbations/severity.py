"""How strong a perturbation is: parameters for levels of structural similarity, found by bisection and kept.

The SSIM is that of 8-bit values with a range of 255; nothing is stretched before it is measured. A picture's random
numbers depend on its pixels, the perturbation and the seed, not on the level, so that a level only changes how much.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mevlip import __version__
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import LARGEST_LIST, read_bounded, write_text_atomically
from mevlip_validation.perturbations.registry import Bounds

TARGETS = ((0.90, 0.98), (0.80, 0.89), (0.70, 0.79), (0.60, 0.69), (0.50, 0.59))
"""The SSIM of each level, weakest first, both ends included."""

_MOST_STEPS = 20
_WINDOW = 7
"""Side of the SSIM's window, and the least side of a picture."""


class Level(NamedTuple):
    """A parameter and what it does to one picture.

    Attributes:
        parameter: The parameter.
        ssim: The SSIM of the picture before and after.
        reached: Whether that lies within the level's target.
    """

    parameter: float
    ssim: float
    reached: bool


def ssim(clean: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two pictures (height, width, channels)."""
    return float(structural_similarity(clean, other, win_size=_WINDOW, data_range=255, channel_axis=2))


def search(measure: Callable[[float], float], bounds: Bounds, *, whole: bool) -> tuple[Level, ...]:
    """Finds a parameter for each level.

    A level takes the parameter nearest to its target's middle, of those tried that are no weaker than the level before
    and have no higher SSIM. So neither order is broken where no parameter reaches a level, or where the SSIM falls and
    rises again, as JPEG's does on a black background.

    Args:
        measure: The SSIM that a parameter has.
        bounds: Within which parameters are tried; the weakest and the strongest are both above 0.
        whole: Whether only whole numbers are parameters.
    """
    tried: dict[float, float] = {}

    def at(parameter: float) -> float:
        if parameter not in tried:
            tried[parameter] = measure(parameter)
        return tried[parameter]

    falling = bounds.weakest > bounds.strongest
    previous, lowest = bounds.weakest, at(bounds.strongest)
    found = []
    for low, high in TARGETS:
        weak, strong = previous, bounds.strongest
        for _ in range(_MOST_STEPS if at(previous) > high and lowest < low else 0):
            middle = math.sqrt(weak * strong)
            middle = float(round(middle)) if whole else middle
            if low <= at(middle) <= high or middle in (weak, strong):
                break
            weak, strong = (middle, strong) if tried[middle] > high else (weak, middle)
        following = [
            one for one in tried if (one <= previous if falling else one >= previous) and tried[one] <= tried[previous]
        ]
        previous = min(following, key=lambda one: (abs(tried[one] - (low + high) / 2), abs(one - bounds.weakest)))
        found.append(Level(previous, tried[previous], low <= tried[previous] <= high))
    return tuple(found)


class Calibrations:
    """Parameters that were found, by perturbation, picture, seed and version, in memory and, if wanted, in a file.

    Args:
        path: JSON file that they are read from and written to; None to keep them in memory only.

    Raises:
        EnvironmentProblem: The file is there but cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._found: dict[str, tuple[Level, ...]] = {}
        self._new: dict[str, tuple[Level, ...]] = {}
        if path is not None and path.exists():
            try:
                content = json.loads(read_bounded(path, LARGEST_LIST))
                self._found = {key: tuple(_level(*one) for one in levels) for key, levels in content.items()}
            except (OSError, ValueError, TypeError, AttributeError) as error:
                raise EnvironmentProblem(f"{path} holds no calibrations ({error})", "Name another file.") from error

    def levels(
        self, name: str, pixels: NDArray[np.uint8], seed: int, bounds: Bounds, find: Callable[[], tuple[Level, ...]]
    ) -> tuple[Level, ...]:
        """The levels of a perturbation for a picture: those kept, else what `find` finds."""
        shape = "x".join(map(str, pixels.shape))
        key = f"{__version__}/{name}/{bounds.weakest:g}-{bounds.strongest:g}/{shape}/{content_hash(pixels)}/{seed}"
        if key not in self._found:
            self._found[key] = self._new[key] = find()
        return self._found[key]

    def take_new(self) -> dict[str, tuple[Level, ...]]:
        """What was found since the last call, for `add`: that of another process goes on from it."""
        new, self._new = self._new, {}
        return new

    def add(self, found: Mapping[str, tuple[Level, ...]]) -> None:
        """Takes over what another process found."""
        self._found |= found

    def save(self) -> None:
        """Writes the file.

        Raises:
            EnvironmentProblem: It cannot be written.
        """
        if self._path is not None:
            write_text_atomically(self._path, json.dumps(self._found, indent=1) + "\n")


def content_hash(pixels: NDArray[np.uint8]) -> str:
    """What identifies a picture, whatever its file is called."""
    return sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _level(parameter: float, similarity: float, reached: bool) -> Level:
    return Level(float(parameter), float(similarity), bool(reached))
