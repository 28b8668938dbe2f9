"""Searching for the parameters of many pictures at a time, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.images import load_image
from mevlip.flare.pixels import fit_pixel_budget
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import Mode
from mevlip_validation.perturbations.severity import Calibrations, Level

Found: TypeAlias = "dict[str, tuple[Level, ...]]"


@dataclass(frozen=True)
class Picture:
    """A picture as the model gets it.

    Attributes:
        content: Its file, or that file's bytes.
        min_pixels: Least width x height.
        max_pixels: Most width x height.
        for_boxes: Whether boxes are asked for.
    """

    content: Path | bytes
    min_pixels: int
    max_pixels: int
    for_boxes: bool


class Calibrator:
    """Finds and keeps the parameters of pictures; see `calibrating`."""

    def __init__(self, known: Calibrations, pool: ProcessPoolExecutor | None, seed: int, mode: Mode | None) -> None:
        self._known = known
        self._pool = pool
        self._seed = seed
        self._mode = mode

    def calibrate(self, perturbation: str, pictures: Sequence[Picture]) -> None:
        """Finds the parameters of a perturbation for pictures that have none yet, and writes them down.

        A picture that cannot be used is passed over: whoever asks about it learns why.

        Raises:
            EnvironmentProblem: A process was ended from outside, or the file cannot be written.
        """
        find = partial(_find, perturbation=perturbation, seed=self._seed, mode=self._mode)
        try:
            if self._pool is None:
                for picture in pictures:
                    find(picture, known=self._known)
            else:
                for found in self._pool.map(find, pictures):
                    self._known.add(found)
        except BrokenProcessPool as error:
            raise EnvironmentProblem(
                "A process that perturbs pictures was ended from outside", "Free memory, then run the command again."
            ) from error
        self._known.save()


@contextmanager
def calibrating(known: Calibrations, workers: int, seed: int, mode: Mode | None) -> Iterator[Calibrator]:
    """Gives a calibrator with processes of its own.

    Args:
        known: What is known already; what is found is added to it.
        workers: Number of processes; with 1, this one does it.
        seed: Seed of the perturbations' random numbers.
        mode: How severity is set; None for each perturbation's own way.
    """
    if workers == 1:
        yield Calibrator(known, None, seed, mode)
        return
    # Forked processes would inherit locks of threads that they do not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (known,)) as pool:
        yield Calibrator(known, pool, seed, mode)


_own: list[Calibrations] = []
"""What a searching process knows."""


def _begin(known: Calibrations) -> None:
    _own.append(known)


def _find(
    picture: Picture, perturbation: str, seed: int, mode: Mode | None, known: Calibrations | None = None
) -> Found:
    """What was not known of a picture."""
    calibrations = _own[0] if known is None else known
    try:
        clean = fit_pixel_budget(load_image(picture.content), picture.min_pixels, picture.max_pixels)
        perturb(clean, perturbation, 1, seed, mode=mode, for_boxes=picture.for_boxes, calibrations=calibrations)
    except Exception:  # noqa: BLE001 - whoever asks about the picture learns why; the others are searched
        return {}
    return calibrations.take_new()
