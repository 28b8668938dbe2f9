"""The report's charts, as SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.scoring import analysis
from mevlip_validation.scoring.analysis import Judged
from mevlip_validation.scoring.baselines import CONSTANT
from mevlip_validation.scoring.rules import CONVENTION_NAMES, main_measure
from mevlip_validation.scoring.rules.macro import number_of
from mevlip_validation.scoring.score import Score

if TYPE_CHECKING:
    from markupsafe import Markup

# Without a salt every SVG would differ from the last; names of data sets are no mathematics.
_STEADY = {"svg.hashsalt": "me-vlip", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}


class Chart(NamedTuple):
    """A chart with what it shows."""

    title: str
    svg: Markup


def draw_charts(scores: Sequence[Score], judged: Sequence[Judged]) -> list[Chart]:
    """Draws scores with intervals, scores by data set, numbers against the truth, and reliability."""
    with rc_context(_STEADY):
        figures = [
            ("Shares, 0 to 1, with 95 % intervals", _intervals(scores, "higher")),
            ("Mean absolute errors with 95 % intervals", _intervals(scores, "lower")),
            ("By data set", _by_dataset(judged)),
            *((f"{TASKS[task].title}: said against true", _scatter(judged, task)) for task in _NUMBERS),
            *((f"Reliability: {one.title}", _reliability(one)) for one in analysis.calibrations(judged)),
        ]
        return [Chart(title, _svg(figure)) for title, figure in figures if figure is not None]


_NUMBERS = (TaskType.COUNTING, TaskType.REGRESSION)


def _svg(figure: Figure) -> Markup:
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes the texts in it


def _intervals(scores: Sequence[Score], direction: str) -> Figure | None:
    """One row per task, one point with its interval per convention, a cross for the constant."""
    main = [one for one in scores if one.is_main and TASKS[one.task].direction == direction]
    main = [one for one in main if math.isfinite(one.estimate.value)]
    tasks = list(dict.fromkeys(one.task for one in main))
    if not tasks:
        return None
    figure = Figure(figsize=(7.5, 0.9 + 0.55 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    for offset, convention in enumerate(CONVENTION_NAMES):
        mine = [one for one in main if one.rule.convention == convention]
        heights = [tasks.index(one.task) + (offset - 1) * 0.2 for one in mine]
        for one, height in zip(mine, heights, strict=True):
            if math.isfinite(one.estimate.low) and math.isfinite(one.estimate.high):
                axes.plot((one.estimate.low, one.estimate.high), (height, height), color=f"C{offset}", linewidth=2)
        values = [one.estimate.value for one in mine]
        axes.plot(values, heights, "o", color=f"C{offset}", markersize=5, label=convention)
        if convention == "macro":
            constants = [one.others.get(CONSTANT, math.nan) for one in mine]
            axes.plot(constants, heights, "kx", label="constant")
    axes.set_yticks(range(len(tasks)), [f"{TASKS[task].title}\n{main_measure(task).name}" for task in tasks])
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    if direction == "higher":
        axes.set_xlim(-0.02, 1.02)
    else:
        axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


def _by_dataset(judged: Sequence[Judged]) -> Figure | None:
    """One bar per data set of the tasks that are scored from 0 to 1."""
    found = [one for one in analysis.slices(judged) if TASKS[one.task].direction == "higher"]
    if not found:
        return None
    figure = Figure(figsize=(7.5, 0.6 + 0.26 * len(found)), layout="constrained")
    axes = figure.subplots()
    order = list(TASKS)
    axes.barh(range(len(found)), [one.score for one in found], color=[f"C{order.index(one.task)}" for one in found])
    axes.set_yticks(range(len(found)), [f"{one.dataset} ({one.questions})" for one in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score of the task's measure, colors tell tasks")
    return figure


def _scatter(judged: Sequence[Judged], task: TaskType) -> Figure | None:
    mine = [one.row for one in judged if one.row.task is task and one.row.meant is not None]
    if not mine:
        return None
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    truth, said = [number_of(row.meant_truth) for row in mine], [number_of(row.meant) for row in mine]
    axes.plot(truth, said, "o", alpha=0.5, markersize=4, rasterized=len(mine) > 500)
    low, high = min(*truth, *said), max(*truth, *said)
    axes.plot((low, high), (low, high), color="gray", linewidth=1)
    if high > 1000 and low >= 0:
        axes.set_xscale("symlog")
        axes.set_yscale("symlog")
    axes.set_xlabel("true")
    axes.set_ylabel("said")
    return figure


def _reliability(calibration: analysis.Calibration) -> Figure:
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="gray", linewidth=1)
    for one in calibration.bins:
        axes.bar(one.low, one.accuracy, one.high - one.low, align="edge", color="C0", alpha=0.6, edgecolor="white")
        axes.annotate(str(one.count), ((one.low + one.high) / 2, 0.01), ha="center", fontsize=7)
    axes.plot(
        [one.confidence for one in calibration.bins], [one.accuracy for one in calibration.bins], "o-", color="C1"
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="said to be", ylabel="came true")
    axes.set_title(f"{calibration.answers} answers, expected calibration error {calibration.error:.3f}", fontsize=9)
    return figure
