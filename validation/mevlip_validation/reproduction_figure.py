"""The reproduced Figure 5, as SVG and PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from mevlip.core.files import atomic_file
from mevlip.tasks import TASKS
from mevlip_validation.report.charts import STEADY
from mevlip_validation.reproduction import FIGURE_SYSTEM, Bars, figure5
from mevlip_validation.reproduction_output import Reproduction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_SIDES = ("base", "tuned")


def write_figure(what: Reproduction, folder: Path) -> tuple[Path, Path]:
    """Draws base against fine-tuned model, a panel for each task; the same scores give the same bytes.

    Returns:
        figure5.svg and figure5.png.

    Raises:
        EnvironmentProblem: A file cannot be written.
    """
    paths = folder / "figure5.svg", folder / "figure5.png"
    with rc_context(STEADY):
        figure = _draw(what)
        with atomic_file(paths[0]) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None, "Creator": None})
        with atomic_file(paths[1]) as draft:
            figure.savefig(draft, format="png", dpi=150, metadata={"Software": None})
    return paths


def _draw(what: Reproduction) -> Figure:
    found = figure5(what.runs)
    lines = math.ceil(len(found) / _COLUMNS)
    figure = Figure(figsize=(12, 0.6 + 2.9 * lines), layout="constrained")
    panels = list(figure.subplots(lines, _COLUMNS, squeeze=False).flat)
    label = what.label(FIGURE_SYSTEM) if FIGURE_SYSTEM in what.runs else "measured"
    for axes, bars in zip(panels, found, strict=False):
        _panel(axes, bars, label.replace(" (", "\n("))
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    about = [line for line in what.notices if line.startswith((f"{FIGURE_SYSTEM}:", "PARTIAL"))]
    figure.suptitle("\n".join([f"{FIGURE_SYSTEM}, base and fine-tuned, printed and measured", *about]), size=9)
    return figure


def _panel(axes: Axes, bars: Bars, label: str) -> None:
    """Printed bars are hatched, so that color is not all that tells them from measured ones."""
    printed = [None if value is None else float(value) for value in bars.printed] if bars.is_papers else []
    words = ("printed", label) if bars.is_papers else (label,)
    names = [f"{side}\n{word}" for word in words for side in _SIDES]
    for place, value in enumerate([*printed, *(bars.measured or (None, None))]):
        is_printed = place < len(printed)
        height = value if value is not None and math.isfinite(value) else 0
        axes.bar(
            place, height, color=f"C{place % 2}", alpha=0.4 if is_printed else 1, hatch="//" if is_printed else "",
            edgecolor="white",
        )  # fmt: skip
        own = f"{value:.3g}" if value is not None else bars.status
        text = (bars.printed[place] or "not printed") if is_printed else own
        axes.annotate(text, (place, height), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0, top=None if axes.dataLim.ymax > 0 else 1)
    better = "less is better" if TASKS[bars.task].direction == "lower" else "more is better"
    measure = f"{bars.measure}, {better}" if bars.is_papers else f"{bars.measure}, {better}; not in the paper"
    axes.set_title(f"{TASKS[bars.task].title}\n{measure}\nmeasured on: {' and '.join(bars.sets) or '-'}", size=8)
