"""Counting a FLARE tree by split, modality and task, and drawing the two figures that a paper shows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mevlip.core.extras import needing
from mevlip.core.files import writing
from mevlip.core.tables import write_csv
from mevlip.tasks import TASKS, TaskType
from mevlip_training.data.records import MODALITIES, SPLITS, Examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNTS_NAME = "counts.csv"
FIGURES = ("modalities", "modalities_per_task")

_STEADY = {"svg.hashsalt": "me-vlip", "svg.fonttype": "none", "font.size": 9}
"""Without a salt and with outlined letters every SVG would differ from the last."""


class Cell(NamedTuple):
    """What questions are counted by."""

    split: str
    modality: str
    task: TaskType


def count(examples: Examples) -> Counter[Cell]:
    """Number of questions in each cell, in the challenge's order."""
    found = Counter(Cell(row.split, row.modality, row.task) for row in examples.rows)
    order = (*SPLITS, *MODALITIES, *TASKS)

    def rank(cell: Cell) -> list[tuple[int, str]]:
        return [(order.index(part) if part in order else len(order), part) for part in cell]

    return Counter({cell: found[cell] for cell in sorted(found, key=rank)})


def write_report(counts: Counter[Cell], out: Path) -> tuple[Path, ...]:
    """Writes counts.csv and the figures, each as PNG and SVG; the same counts give the same bytes.

    Raises:
        EnvironmentProblem: matplotlib is missing, or the folder cannot be written.
    """
    with needing("report", "Figures need"):
        from matplotlib import rc_context
    with writing(out, "Name another --out."):
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / COUNTS_NAME]
        write_csv(paths[0], (*Cell._fields, "questions"), ((*cell, number) for cell, number in counts.items()))
        with rc_context(_STEADY):
            for name, figure in zip(FIGURES, (_per_split(counts), _per_task(counts)), strict=True):
                paths += [out / f"{name}.png", out / f"{name}.svg"]
                figure.savefig(paths[-2], dpi=200, metadata={"Software": None})
                figure.savefig(paths[-1], metadata={"Date": None})
    return tuple(paths)


def _per_split(counts: Counter[Cell]) -> Figure:
    """One bar per split, its modalities stacked."""
    from matplotlib.figure import Figure

    splits = _names(cell.split for cell in counts)
    figure = Figure(figsize=(1.6 + 1.1 * len(splits), 4), layout="constrained")
    axes = figure.subplots()
    _stack(axes, counts, {split: [cell for cell in counts if cell.split == split] for split in splits})
    figure.legend(loc="outside right upper", title="modality")
    return figure


def _per_task(counts: Counter[Cell]) -> Figure:
    """One panel per split with one bar per task, its modalities stacked."""
    from matplotlib.figure import Figure

    splits = _names(cell.split for cell in counts)
    figure = Figure(figsize=(8, 0.6 + 2.6 * len(splits)), layout="constrained")
    panels = figure.subplots(len(splits), sharex=True, squeeze=False)[:, 0]
    for split, axes in zip(splits, panels, strict=True):
        bars = {task.title: [c for c in counts if (c.split, c.task) == (split, task.type)] for task in TASKS.values()}
        _stack(axes, counts, bars)
        axes.set_title(split)
    for label in panels[-1].get_xticklabels():
        label.set(rotation=30, ha="right", rotation_mode="anchor")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="modality")
    return figure


def _stack(axes: Axes, counts: Counter[Cell], bars: dict[str, list[Cell]]) -> None:
    """Draws bars of questions, one layer per modality; a modality has the same color in every figure."""
    floor = [0] * len(bars)
    modalities = _names((*MODALITIES, *(cell.modality for cell in counts)))
    for index, modality in enumerate(modalities):
        heights = [sum(counts[cell] for cell in cells if cell.modality == modality) for cells in bars.values()]
        top = axes.bar(list(bars), heights, bottom=floor, label=modality, color=f"C{index}")
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    axes.bar_label(top, labels=[str(total) for total in floor], fontsize=8)
    axes.set_ylabel("questions")
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.margins(y=0.12)


def _names(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
