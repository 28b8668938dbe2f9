"""All levels of perturbations of one picture, side by side and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mevlip_validation.defaults import LEVELS
from mevlip_validation.perturbations.perturbed import Perturbed, perturb
from mevlip_validation.perturbations.registry import Mode, Perturbation
from mevlip_validation.perturbations.severity import Calibrations

_SIDE, _GAP, _CAPTION = 224, 6, 20  # pixels of a strip

CSV_HEADER = ("number", "perturbation", "mode", "level", "parameter", "unit", "ssim", "reached")
HEADER = ("no.", "perturbation", "unit", "mode", *(f"L{level}" for level in LEVELS))
LEGEND = "Each level: parameter (SSIM); ! the level's SSIM is out of reach, = a published level, without a target."


@dataclass(frozen=True)
class Series:
    """A perturbation of one picture at all levels.

    Attributes:
        perturbation: The perturbation.
        mode: How its severity was set.
        levels: The picture at levels 0 to 5.
    """

    perturbation: Perturbation
    mode: Mode
    levels: tuple[Perturbed, ...]


def make_series(
    picture: Image.Image,
    perturbation: Perturbation,
    seed: int,
    mode: Mode | None = None,
    calibrations: Calibrations | None = None,
) -> Series:
    """Perturbs a picture at all levels; the arguments are those of `perturb`."""
    kept = calibrations or Calibrations()
    levels = (perturb(picture, perturbation, n, seed, mode=mode, calibrations=kept) for n in (0, *LEVELS))
    return Series(perturbation, mode or perturbation.mode, tuple(levels))


def draw_strip(series: Series) -> Image.Image:
    """The clean picture and five levels side by side, each with its SSIM."""
    panels = []
    for one in series.levels:
        panel = one.picture.copy()
        panel.thumbnail((_SIDE, _SIDE))
        panels.append(panel)
    width, height = panels[0].size
    strip = Image.new("RGB", ((width + _GAP) * len(panels) - _GAP, height + _CAPTION), "white")
    pen = ImageDraw.Draw(strip)
    for level, (panel, one) in enumerate(zip(panels, series.levels, strict=True)):
        left = level * (width + _GAP)
        strip.paste(panel, (left, _CAPTION))
        mark = " (not reached)" if one.reached is False else ""
        pen.text((left + 2, 4), f"L{level} SSIM {one.ssim:.2f}{mark}" if level else "clean", fill="black")
    return strip


def table_row(series: Series) -> tuple[str, ...]:
    """A perturbation's row under `HEADER`."""
    one = series.perturbation
    cells = (f"{_number(each)} ({each.ssim:.2f}){_MARKS[each.reached]}" for each in series.levels[1:])
    return str(one.number), one.name, one.unit, series.mode, *cells


def csv_rows(found: Sequence[Series]) -> Iterable[tuple[object, ...]]:
    """One row for each perturbation and level under `CSV_HEADER`; `reached` is empty where there is no target."""
    for series in found:
        one = series.perturbation
        for level, each in enumerate(series.levels[1:], 1):
            reached = "" if each.reached is None else "yes" if each.reached else "no"
            yield (
                one.number, one.name, series.mode, level, _number(each), one.unit, f"{each.ssim:.4f}", reached,
            )  # fmt: skip


_MARKS = {True: "", False: "!", None: "="}


def _number(one: Perturbed) -> str:
    return f"{one.parameter:.3g}"
