"""What a perturbation is, which modalities it is for, and the registry of all of them.

A perturbation is one function with the decorator `perturbation` in a module of `rows/`, where it is found by being
there. The numbers, names and published levels are those of MedFM-Robust (arXiv 2605.19027).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mevlip_validation.perturbations import rows
from mevlip_validation.perturbations.geometry import Affine, warp

Pixels = NDArray[np.floating[Any]]
"""Values of a picture, (height, width, channels), 0 to 255; a gray picture has one channel, another one three."""
Random = np.random.Generator
Change = Callable[[Pixels, float, Random], Pixels]
"""Pixels, parameter and random numbers to pixels. It draws the same numbers whatever the parameter is."""
Move = Callable[[tuple[int, int], float, Random], Affine]
"""Size (width, height), parameter and random numbers to where each point goes."""
Mode = Literal["ssim", "table"]


class Modality(StrEnum):
    """FLARE's eight folders of 2D pictures, and two kinds of slices of volumes."""

    CLINICAL = "Clinical"
    CT = "CT"
    DERMATOLOGY = "Dermatology"
    ENDOSCOPY = "Endoscopy"
    MAMMOGRAPHY = "Mammography"
    MICROSCOPY = "Microscopy"
    MRI = "MRI"
    RETINOGRAPHY = "Retinography"
    ULTRASOUND = "Ultrasound"
    XRAY = "Xray"


SLICES = frozenset({Modality.CT, Modality.MRI})
ALL = frozenset(Modality)


@dataclass(frozen=True)
class Bounds:
    """The parameters of a perturbation.

    Attributes:
        levels: Those of the published fixed levels, weakest first.
        weakest: The weakest parameter that a search may try.
        strongest: The strongest one.
    """

    levels: tuple[float, float, float, float, float]
    weakest: float
    strongest: float


@dataclass(frozen=True)
class Perturbation:
    """One of the 40 perturbations.

    Attributes:
        number: Its row in the table of docs/perturbations.md.
        name: Its name.
        group: `noise`, `degradation` or `geometric`, else the kind of picture that it is specific to.
        unit: What its parameter is.
        bounds: Its parameters.
        change: What it does to pixels.
        modalities: The modalities that it is for.
        mode: How its severity is set by default: `table` where the SSIM says little about what is seen.
        identity: The parameter at which nothing changes; None where there is none.
        whole: Whether its parameter is a whole number.
        color: Whether it needs three channels of a gray picture, too.
        move: Where it moves each point; None where everything stays in its place.
        box_bounds: Its parameters where boxes are asked for; None where they are the same.
        keeps_counts: Whether everything that can be counted stays inside the picture.
        apart: Why results of some modalities are reported apart.
    """

    number: int
    name: str
    group: str
    unit: str
    bounds: Bounds
    change: Change = field(repr=False)
    modalities: frozenset[Modality] = ALL
    mode: Mode = "ssim"
    identity: float | None = 0.0
    whole: bool = False
    color: bool = False
    move: Move | None = field(default=None, repr=False)
    box_bounds: Bounds | None = None
    keeps_counts: bool = True
    apart: Mapping[Modality, str] = field(default_factory=dict, hash=False)

    @property
    def is_base(self) -> bool:
        """Whether it is one of the twelve for all pictures; the others are specific to medical ones."""
        return self.modalities == ALL


_registry: dict[str, Perturbation] = {}


def perturbation(
    number: int, name: str, group: str, unit: str, bounds: Bounds, **facts: Any
) -> Callable[[Change], Change]:
    """Registers a function as a perturbation; one function may be several.

    Args:
        number: Its row in the table of docs/perturbations.md.
        name: Its name, which no other has.
        group: Its group.
        unit: What its parameter is.
        bounds: Its parameters.
        **facts: Further attributes of `Perturbation`.
    """

    def register(change: Change) -> Change:
        _add(Perturbation(number, name, group, unit, bounds, change, **facts))
        return change

    return register


def movement(number: int, name: str, unit: str, bounds: Bounds, **facts: Any) -> Callable[[Move], Move]:
    """Registers a function that says where points go as a geometric perturbation; what comes in is black.

    Args:
        number: Its row in the table of docs/perturbations.md.
        name: Its name, which no other has.
        unit: What its parameter is.
        bounds: Its parameters.
        **facts: Further attributes of `Perturbation`.
    """

    def register(move: Move) -> Move:
        def change(pixels: Pixels, parameter: float, random: Random) -> Pixels:
            return warp(pixels, move((pixels.shape[1], pixels.shape[0]), parameter, random))

        _add(Perturbation(number, name, "geometric", unit, bounds, change, mode="table", move=move, **facts))
        return move

    return register


def _add(one: Perturbation) -> None:
    taken = [other.name for other in _registry.values() if one.name == other.name or one.number == other.number]
    if taken:
        raise ValueError(f"perturbation {one.number}, {one.name}: its number or name is taken by {taken[0]}")
    _registry[one.name] = one


@cache
def perturbations() -> Mapping[str, Perturbation]:
    """All perturbations by name, in the order of their numbers."""
    for module in pkgutil.iter_modules(rows.__path__):
        importlib.import_module(f"{rows.__name__}.{module.name}")
    return {one.name: one for one in sorted(_registry.values(), key=lambda one: one.number)}


def modality_named(name: str) -> Modality | None:
    """The modality of a name, whose letter case and hyphens do not matter; None where it is none."""
    wanted = "".join(filter(str.isalpha, name.lower()))
    return next((one for one in Modality if one.lower() == wanted), None)


def perturbations_of(modality: str) -> tuple[Perturbation, ...]:
    """The perturbations of a modality, in the order of their numbers.

    Args:
        modality: The name of one of FLARE's folders, or `CT` or `MRI`, as `modality_named` reads it.

    Raises:
        LookupError: There is no such modality.
    """
    one = modality_named(modality)
    if one is None:
        raise LookupError(f"{modality!r} is not a modality. Name one of {', '.join(Modality)}.")
    return tuple(found for found in perturbations().values() if one in found.modalities)


def find(name: str) -> Perturbation:
    """The perturbation of a name.

    Raises:
        LookupError: There is none.
    """
    if name not in perturbations():
        raise LookupError(f"{name!r} is not a perturbation. Name one of {', '.join(perturbations())}.")
    return perturbations()[name]


def choose(wanted: str) -> tuple[Perturbation, ...]:
    """The perturbations that `all`, the name of a modality or of one perturbation stands for.

    Raises:
        LookupError: It stands for none.
    """
    if wanted == "all":
        return tuple(perturbations().values())
    with suppress(LookupError):
        return perturbations_of(wanted)
    return (find(wanted),)
