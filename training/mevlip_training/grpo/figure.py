"""The log of a run, drawn: rewards, lengths, divergence and groups that nothing is learned from, by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from mevlip.core.files import atomic_file
from mevlip_training.grpo.steps import Step
from mevlip_validation.report.charts import STEADY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", "--", ":", "-.")
"""So that color is not all that tells lines apart."""

Line = tuple[str, Iterable[float | None]]
"""A name, and a value for each step; None leaves a gap."""


def write_figure(steps: Sequence[Step], path: Path) -> None:
    """Draws a log as SVG; the same steps give the same bytes.

    Args:
        steps: The steps, at least one.
        path: The file.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    parts = list(dict.fromkeys(name for step in steps for name in step.parts))
    by_part = [(name, [one.parts[name].mean if name in one.parts else None for one in steps]) for name in parts]
    panels: list[tuple[str, list[Line]]] = [
        ("reward", [("weighted mean", [one.total.mean for one in steps]), *by_part]),
        ("tokens of a completion", [
            ("mean", [one.length_mean for one in steps]), ("longest", [float(one.length_max) for one in steps]),
        ]),
        ("KL from the start, nats a token", [("KL", [one.kl for one in steps])]),
        ("share of groups", [
            ("zero variance", [one.flat for one in steps]), ("of them not solved", [one.stuck for one in steps]),
        ]),
    ]  # fmt: skip
    with rc_context(STEADY):
        figure = Figure(figsize=(9, 5.5), layout="constrained")
        for axes, (title, lines) in zip(figure.subplots(2, 2, sharex=True).flat, panels, strict=True):
            _panel(axes, title, [one.step for one in steps], lines)
        with atomic_file(path) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None, "Creator": None})


def _panel(axes: Axes, title: str, places: Sequence[int], lines: Sequence[Line]) -> None:
    for number, (name, values) in enumerate(lines):
        known = [float("nan") if value is None else value for value in values]
        mark = "o" if len(places) == 1 else ""
        axes.plot(places, known, linestyle=_STYLES[number % len(_STYLES)], marker=mark, color=f"C{number}", label=name)
    axes.set_title(title, size=9)
    axes.set_xlabel("step")
    if title.startswith(("reward", "share")):
        axes.set_ylim(-0.03, 1.03)
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend(fontsize=8)
