"""The report's charts, as SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

from mevlip.tasks import TASKS, TaskType
from mevlip_validation import analysis
from mevlip_validation.analysis import QuestionResult, Slice
from mevlip_validation.baselines import CONSTANT
from mevlip_validation.defaults import REFERENCE
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import shown_protocols
from mevlip_validation.score import Score

if TYPE_CHECKING:
    from markupsafe import Markup

# Without a salt every SVG would differ from the last; names of data sets are not mathematics.
STEADY = {"svg.hashsalt": "me-vlip", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}


_MARKS = "os^Dvp"
"""Shapes of the protocols' points, so that color is not all that tells them apart."""


class Chart(NamedTuple):
    """A chart with what it shows."""

    title: str
    svg: Markup


def draw_charts(scores: Sequence[Score], results: Sequence[QuestionResult], slices: Sequence[Slice]) -> list[Chart]:
    """Draws scores with intervals, scores by data set, predicted vs. true numbers, and reliability."""
    with rc_context(STEADY):
        figures = [
            ("Scores from 0 to 1 with 95 % intervals", _intervals(scores, "higher")),
            ("Mean absolute errors with 95 % intervals", _intervals(scores, "lower")),
            ("By data set, with 95 % intervals", _by_dataset(slices)),
            *((f"{TASKS[task].title}: predicted vs. true", _scatter(results, task)) for task in TASKS),
            *((f"Reliability: {one.title}", _reliability(one)) for one in analysis.calibrations(results)),
        ]
        return [Chart(title, to_svg(figure)) for title, figure in figures if figure is not None]


def to_svg(figure: Figure) -> Markup:
    """A figure as markup; the same figure gives the same bytes."""
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes the texts in it


def _intervals(scores: Sequence[Score], direction: str) -> Figure | None:
    """One row per task, one point with its interval per protocol, a cross for the constant."""
    main = [one for one in scores if one.is_main and TASKS[one.task].direction == direction]
    main = [one for one in main if math.isfinite(one.estimate.value)]
    tasks = list(dict.fromkeys(one.task for one in main))
    if not tasks:
        return None
    figure = Figure(figsize=(7.5, 0.9 + 0.55 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    names = shown_protocols()
    for offset, name in enumerate(names):
        mine = [one for one in main if one.scoring.protocol == name]
        shift = (offset - (len(names) - 1) / 2) * 0.6 / len(names)
        heights = [tasks.index(one.task) + shift for one in mine]
        for one, height in zip(mine, heights, strict=True):
            if math.isfinite(one.estimate.low) and math.isfinite(one.estimate.high):
                axes.plot((one.estimate.low, one.estimate.high), (height, height), color=f"C{offset}", linewidth=2)
        values = [one.estimate.value for one in mine]
        axes.plot(values, heights, _MARKS[offset % len(_MARKS)], color=f"C{offset}", markersize=5, label=name)
        if name == REFERENCE:
            constants = [one.others.get(CONSTANT, math.nan) for one in mine]
            axes.plot(constants, heights, "kx", label="constant")
    axes.set_yticks(range(len(tasks)), [f"{TASKS[task].title}\n{metrics_of(task).main.name}" for task in tasks])
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    if direction == "higher":
        axes.set_xlim(-0.02, 1.02)
    else:
        axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


def _by_dataset(slices: Sequence[Slice]) -> Figure | None:
    """One bar per data set of the tasks that are scored from 0 to 1."""
    found = [one for one in slices if TASKS[one.task].direction == "higher"]
    if not found:
        return None
    figure = Figure(figsize=(7.5, 0.6 + 0.26 * len(found)), layout="constrained")
    axes = figure.subplots()
    order = list(TASKS)
    axes.barh(range(len(found)), [one.score for one in found], color=[f"C{order.index(one.task)}" for one in found])
    for place, one in enumerate(found):
        if math.isfinite(one.estimate.low):
            axes.plot((one.estimate.low, one.estimate.high), (place, place), color="black", linewidth=1.2)
    axes.set_yticks(range(len(found)), [f"{one.dataset} ({one.questions}), {TASKS[one.task].title}" for one in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score of the task's measure")
    return figure


def _scatter(results: Sequence[QuestionResult], task: TaskType) -> Figure | None:
    number = metrics_of(task).number
    mine = [one.row for one in results if one.row.task is task and one.row.parsed_prediction is not None]
    if not number or not mine:
        return None
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    true, predicted = [number(row.parsed_target) for row in mine], [number(row.parsed_prediction) for row in mine]
    axes.plot(true, predicted, "o", alpha=0.5, markersize=4, rasterized=len(mine) > 500)
    low, high = min(*true, *predicted), max(*true, *predicted)
    axes.plot((low, high), (low, high), color="gray", linewidth=1)
    if high > 1000 and low >= 0:
        axes.set_xscale("symlog")
        axes.set_yscale("symlog")
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
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
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"{calibration.answers} answers, expected calibration error {calibration.error:.3f}", fontsize=9)
    return figure
