"""Charts of what is lost on perturbed pictures, as SVG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mevlip_validation.report.charts import STEADY, Chart, to_svg
from mevlip_validation.robustness.drops import ALL_TASKS, BASE, Aspect, Drops
from mevlip_validation.robustness.output import GROUPS, TOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = "os^Dvp"
_PANELS = 3
"""Panels beside each other."""


def draw_charts(drops: Drops) -> list[Chart]:
    """Draws what is lost by level, by task, and under the most damaging perturbations."""
    with rc_context(STEADY):
        figures = [
            ("What is lost by level, all tasks, with 95 % intervals", _by_level(drops)),
            ("What is lost by level, each task in its own measure", _by_task(drops)),
            (f"The {TOP} perturbations under which {drops.systems[-1]} loses the most", _ranking(drops)),
        ]
        return [Chart(title, to_svg(figure)) for title, figure in figures if figure is not None]


def _by_level(drops: Drops) -> Figure | None:
    """A panel for each group of perturbations, a line for each system."""
    groups = [one for one in GROUPS if any(drops.mean(name, group=one).number for name in drops.systems)]
    if not groups:
        return None
    figure = Figure(figsize=(4 * len(groups) + 1, 3.4), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, group in zip(panels, groups, strict=True):
        _lines(axes, drops, ALL_TASKS, group)
        axes.set_title("base perturbations" if group == BASE else "perturbations of medical pictures", size=9)
    panels[0].set_ylabel("points lost")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(drops.systems))
    return figure


def _by_task(drops: Drops) -> Figure | None:
    """A panel for each task, a line for each system, over all perturbations."""
    aspects = [one for one in drops.aspects if one.task and one.dataset is None and not one.apart]
    if not aspects:
        return None
    lines = math.ceil(len(aspects) / _PANELS)
    figure = Figure(figsize=(3.6 * _PANELS, 0.5 + 2.6 * lines), layout="constrained")
    panels = list(figure.subplots(lines, _PANELS, squeeze=False).flat)
    for axes, aspect in zip(panels, aspects, strict=False):
        _lines(axes, drops, aspect)
        axes.set_title(f"{aspect.title}\n{aspect.measure}", size=8)
    for axes in panels[len(aspects) :]:
        axes.set_axis_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(drops.systems))
    return figure


def _lines(axes: Axes, drops: Drops, aspect: Aspect, group: str | None = None) -> None:
    """A line for each system with its intervals; above zero is worse."""
    for number, system in enumerate(drops.systems):
        means = [(level, drops.mean(system, aspect, group=group, level=level).drop) for level in drops.levels]
        known = [(level, drop) for level, drop in means if math.isfinite(drop.value)]
        # Beside each other, so that intervals do not hide one another.
        places = [level + 0.08 * (number - (len(drops.systems) - 1) / 2) for level, _ in known]
        mark = _MARKS[number % len(_MARKS)]
        axes.plot(places, [drop.value for _, drop in known], f"{mark}-", color=f"C{number}", markersize=4, label=system)
        for place, (_, drop) in zip(places, known, strict=True):
            if math.isfinite(drop.low):
                axes.plot((place, place), (drop.low, drop.high), color=f"C{number}", linewidth=1, alpha=0.6)
    axes.axhline(0, color="gray", linewidth=1)
    axes.set_xticks(drops.levels, [f"L{level}" for level in drops.levels])
    axes.grid(axis="y", alpha=0.3)


def _ranking(drops: Drops) -> Figure | None:
    """A bar for each perturbation and system; those for medical pictures are hatched and named with their group."""
    found = drops.ranking(drops.systems[-1])[:TOP]
    if not found:
        return None
    figure = Figure(figsize=(8, 0.8 + 0.42 * len(found)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(drops.systems)
    for number, system in enumerate(drops.systems):
        for place, (one, _) in enumerate(found):
            drop = drops.mean(system, perturbation=one.name).drop
            center = place + height * (number - (len(drops.systems) - 1) / 2)
            axes.barh(
                center, drop.value, height, color=f"C{number}", hatch="" if one.is_base else "///", edgecolor="white",
            )  # fmt: skip
            if math.isfinite(drop.low):
                axes.plot((drop.low, drop.high), (center, center), color="black", linewidth=0.8)
    names = [
        f"{one.name} ({mean.images})" if one.is_base else f"{one.name}, {one.group} ({mean.images})"
        for one, mean in found
    ]
    axes.set_yticks(range(len(found)), names)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.axvline(0, color="gray", linewidth=1)
    axes.set_xlabel("points lost, mean over levels and tasks (number of images); hatched: medical")
    axes.grid(axis="x", alpha=0.3)
    colors = [Patch(color=f"C{number}") for number in range(len(drops.systems))]
    figure.legend(colors, drops.systems, loc="outside upper center", ncols=len(drops.systems))
    return figure
