"""The page of perturbed pictures: one HTML file that needs no server, no network and no other file."""

from __future__ import annotations

import base64
import io
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.errors import InputError
from mevlip.core.extras import needing
from mevlip.flare.pixels import ImageError, fit_pixel_budget
from mevlip.flare.store import ImageStore
from mevlip_validation.perturbations.registry import Perturbation
from mevlip_validation.perturbations.severity import Calibrations
from mevlip_validation.perturbations.showing import draw_strip, make_series
from mevlip_validation.report.page import REPORT_PACKAGES, write_page
from mevlip_validation.robustness import output
from mevlip_validation.robustness.asking import Plan
from mevlip_validation.robustness.output import Benchmark
from mevlip_validation.robustness.sampling import Sample

_QUALITY = 80


class Strip(NamedTuple):
    """A perturbation of one picture at all levels, as a data URI."""

    perturbation: Perturbation
    dataset: str
    data: str


def check_packages() -> None:
    """Refuses to go on without what the page needs, before the work and not after it.

    Raises:
        EnvironmentProblem: jinja2 or matplotlib is missing.
    """
    with needing(*REPORT_PACKAGES):
        import_module("jinja2")
        import_module("matplotlib")


def write_report(path: Path, title: str, what: Benchmark, calibrations: Calibrations) -> int:
    """Writes the page.

    Args:
        path: The HTML file.
        title: What was asked.
        what: The results.
        calibrations: Parameters that were searched for, so that the pictures shown need no further search.

    Returns:
        The file's size in bytes.

    Raises:
        EnvironmentProblem: jinja2 or matplotlib is missing, or the file cannot be written.
    """
    check_packages()
    from mevlip_validation.report.robustness_charts import draw_charts

    drops = what.drops
    return write_page(
        path,
        "robustness",
        title=title,
        notices=what.notices,
        ranked=drops.systems[-1],
        charts=draw_charts(drops),
        losses=output.loss_table(drops),
        levels=output.level_table(drops),
        systems=output.system_table(drops),
        ranking=output.ranking_table(drops),
        datasets=output.dataset_table(drops),
        apart=output.apart_table(drops),
        strips=draw_strips(what, calibrations),
    )


def draw_strips(what: Benchmark, calibrations: Calibrations) -> list[Strip]:
    """For each perturbation that was asked about, a picture that it reaches, clean and at five levels."""
    asked = {cell.perturbation for cell in what.run.cells}
    plan = what.run.plan
    with ImageStore(what.run.sample.root) as store:
        strips = (
            _strip(what.run.sample, one, store, plan, calibrations) for one in plan.perturbations if one.name in asked
        )
        return [strip for strip in strips if strip]


def _strip(
    sample: Sample, one: Perturbation, store: ImageStore, plan: Plan, calibrations: Calibrations
) -> Strip | None:
    settings = ImageSettings()
    reached = [item for item in sample.items if item.asked.is_reached_by(one) and item.question.image_names]
    start = one.number % max(len(reached), 1)  # so that not all show the same picture
    for item in reached[start:] + reached[:start]:
        try:
            clean = store.image(item.question, item.question.image_names[0])
            fitted = fit_pixel_budget(clean, settings.min_pixels, settings.max_pixels)
            series = make_series(fitted, one, plan.seed, plan.mode, calibrations)
        except (ImageError, InputError):
            continue
        file = io.BytesIO()
        draw_strip(series).save(file, format="JPEG", quality=_QUALITY, optimize=True)
        data = base64.b64encode(file.getvalue()).decode()
        return Strip(one, item.row.dataset, f"data:image/jpeg;base64,{data}")
    return None
