"""The reproduced Table 3 and Figure 5 as tables for people, as LaTeX and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from mevlip import __version__
from mevlip.core.tables import table
from mevlip.core.text import visible
from mevlip.tasks import TASKS
from mevlip_validation import published
from mevlip_validation.comparison_output import comparisons_as_json
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.latex import latex_table, write_latex
from mevlip_validation.output import (
    NONE,
    NOT_RUN,
    number,
    plain,
    plain_estimate,
    scores_as_json,
    show,
    signature_of,
    write_json,
)
from mevlip_validation.reproduction import COLUMNS, FIGURE_SYSTEM, PROTOCOL, SETS, Bars, Cell, Runs, figure5, table3
from mevlip_validation.score import Score


@dataclass(frozen=True)
class Reproduction:
    """Everything that was run.

    Attributes:
        runs: The runs, by the paper's name of the model.
        limit: The first so many questions of each task were asked; None for all.
        resamples: Number of bootstrap resamples of the intervals.
        seed: Their random seed.
    """

    runs: Runs
    limit: int | None = None
    resamples: int = RESAMPLES
    seed: int = SEED

    def label(self, checkpoint: str) -> str:
        """What stands before the measured scores of a checkpoint: a demo's never pass for a medical model's."""
        kind = self.runs[checkpoint].manifest.kind
        return f"measured ({kind}{', partial' if self.limit else ''})"

    @property
    def labels(self) -> tuple[str, ...]:
        """Every such label, once."""
        return tuple(dict.fromkeys(map(self.label, self.runs)))

    @property
    def notices(self) -> list[str]:
        """One line for each checkpoint, and one where only a part was asked."""
        lines = []
        for name, run in self.runs.items():
            own = run.manifest
            line = f"{name}: checkpoint {own.name} ({own.kind}), base {own.base.name}"
            lines.append(visible(f"{line}. {own.notice}" if own.notice else line))
        if self.limit:
            lines.append(f"PARTIAL: at most {self.limit} questions of each task and set were asked.")
        return lines


def render(what: Reproduction) -> str:
    """Table 3, Figure 5 as a table, and what to know of the scores, for the terminal."""
    lines = [
        "Table 3, public | hidden validation:",
        table(*table3_rows(what)),
        "",
        f"Figure 5, {FIGURE_SYSTEM}, mean of public and hidden validation; measured, of the sets that were run:",
        table(*figure5_rows(what)),
        "",
        *what.notices,
        f"Printed: {published.TABLE3_SOURCE}",
        *(f"{title}: {text}" for title, text in absences(table3(what.runs))),
    ]
    return "\n".join(lines)


def table3_rows(what: Reproduction) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: under each printed row of the paper's table what was measured here, by kind of checkpoint."""
    cells = table3(what.runs)
    rows: list[tuple[str, ...]] = []
    for task in TASKS:
        mine = [cell for cell in cells if cell.task is task]
        title, measure = TASKS[task].title, published.TABLE3_MEASURES.get(task, NONE)
        rows.append((title, measure, "printed", *_pairs(mine, lambda cell: cell.printed or NONE)))
        for label in what.labels:

            def measured(cell: Cell, label: str = label) -> str:
                if cell.column.checkpoint in what.runs and what.label(cell.column.checkpoint) != label:
                    return NONE
                return number(cell.score.estimate.value) if cell.score else cell.status

            rows.append(("", "", label, *_pairs(mine, measured)))
            if any(_labelled(what, cell, label) and cell.instead for cell in mine):

                def instead(cell: Cell, label: str = label) -> str:
                    return (
                        number(cell.instead.estimate.value) if cell.instead and _labelled(what, cell, label) else NONE
                    )

                other = next(cell.instead for cell in mine if cell.instead)
                assert other is not None, "one was just found"  # noqa: S101
                rows.append(("", _foreign(other.measure.name), label, *_pairs(mine, instead)))
    return ("task", "measure", "", *(column.name for column in COLUMNS)), rows


def figure5_rows(what: Reproduction) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: base and fine-tuned, printed and measured."""
    label = what.label(FIGURE_SYSTEM) if FIGURE_SYSTEM in what.runs else "measured"
    columns = ("base, printed", "fine-tuned, printed", "change, printed", f"base, {label}", f"fine-tuned, {label}")
    return ("task", "measure", *columns, "measured on"), [_figure_row(bars) for bars in figure5(what.runs)]


def _figure_row(bars: Bars) -> tuple[str, ...]:
    measured = [number(value) for value in bars.measured] if bars.measured else [bars.status] * 2
    change = published.FIGURE5_CHANGES.get(bars.task, NONE) if bars.is_papers else NONE
    printed = (value or NONE for value in bars.printed)
    measure = bars.measure if bars.is_papers else _foreign(bars.measure)
    return (TASKS[bars.task].title, measure, *printed, change, *measured, " and ".join(bars.sets) or NONE)


def absences(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Of each task, by title: why scores that the paper prints have none beside them."""
    found = []
    for task in TASKS:
        mine = [cell for cell in cells if cell.task is task]
        empty = [cell for cell in mine if cell.status == "no questions" and cell.printed]
        if empty:
            names = " and ".join(dict.fromkeys(cell.set for cell in empty))
            found.append((TASKS[task].title, f"no answered questions in the {names} folder; add its data set there"))
        other = next((cell.instead for cell in mine if cell.instead), None)
        if other:
            text = (
                f"{published.TABLE3_MEASURES.get(task, NONE)} needs a model and was not computed; "
                f"{other.measure.name} ({other.scoring.signature}) is another measure, not comparable with it. Judge "
                "the predictions with mevlip score --judge"
            )
            found.append((TASKS[task].title, text))
    return found


def write_tex(what: Reproduction, path: Path) -> None:
    """Writes Table 3, printed and measured side by side, and the signatures of what was measured.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    cells = table3(what.runs)
    header = ("task, measure", "system", "measured", *(f"{name} {kind}" for name in SETS for kind in _KINDS))
    rows: list[list[str]] = []
    for task in TASKS:
        mine = [[cell for cell in cells if (cell.task, cell.column) == (task, column)] for column in COLUMNS]
        names = [TASKS[task].title, published.TABLE3_MEASURES.get(task, NONE), *[""] * len(COLUMNS)]
        for name, pair in zip(names, mine, strict=False):
            beside = [(cell.printed or NONE, show(cell.score.estimate) if cell.score else cell.status) for cell in pair]
            rows.append([name, pair[0].column.name, _kind(what, pair[0]), *chain.from_iterable(beside)])
        for pair in mine:
            others = [cell.instead for cell in pair if cell.instead]
            if others:
                alone = [(NONE, show(cell.instead.estimate) if cell.instead else NONE) for cell in pair]
                name = _foreign(others[0].measure.name)
                rows.append([name, pair[0].column.name, _kind(what, pair[0]), *chain.from_iterable(alone)])
    measured = [(cell.task, score) for cell in cells for score in (cell.score, cell.instead) if score]
    signatures = {(TASKS[task].title, score.measure.name): score.scoring.signature for task, score in measured}
    caption = (
        "Table 3 of the ME-VLIP paper: printed scores beside scores measured here, with 95 % confidence intervals of a "
        "bootstrap over images. " + " ".join(f"{line.rstrip('.')}." for line in what.notices)
    )
    under = [[*key, signature] for key, signature in signatures.items()]
    tables = [latex_table(header, rows, caption, "tab:reproduced", left=3)]
    if under:
        about = f"What was measured; the paper's evaluator is closest to {PROTOCOL}."
        tables.append(latex_table(("task", "measure", "signature"), under, about, "tab:signatures", left=3))
    write_latex(path, *tables)


def write_reproduction(what: Reproduction, path: Path) -> None:
    """Writes everything with its provenance as JSON.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    content = {
        "version": __version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": published.TABLE3_SOURCE,
        "protocol": PROTOCOL,
        "limit": what.limit,
        "resamples": what.resamples,
        "seed": what.seed,
        "notices": what.notices,
        "checkpoints": {name: _checkpoint(what, name) for name in what.runs},
        "table3": [_cell(what, cell) for cell in table3(what.runs)],
        "figure5": [_bars(bars) for bars in figure5(what.runs)],
    }
    write_json(content, path)


_KINDS = ("printed", "measured")
_SIDES = ("base", "fine_tuned")


def _foreign(measure: str) -> str:
    """How a measure is named that the paper does not have."""
    return f"{measure} (not in the paper)"


def _kind(what: Reproduction, cell: Cell) -> str:
    """What kind of checkpoint a column was measured with."""
    run = what.runs.get(cell.column.checkpoint)
    return f"{run.manifest.kind}{', partial' if what.limit else ''}" if run else NOT_RUN


def _pairs(cells: Sequence[Cell], text: Any) -> list[str]:
    """For each column its public and hidden text, as the paper writes them."""
    return [" | ".join(text(cell) for cell in cells if cell.column == column) for column in COLUMNS]


def _labelled(what: Reproduction, cell: Cell, label: str) -> bool:
    return cell.column.checkpoint in what.runs and what.label(cell.column.checkpoint) == label


def _checkpoint(what: Reproduction, name: str) -> dict[str, Any]:
    run = what.runs[name]
    own = run.manifest
    sets = {
        set_name: {
            **one.provenance.as_json(),
            "systems": {system: scores_as_json(scores) for system, scores in one.found.scores.items()},
            "comparisons": {
                f"{second} over {first}": comparisons_as_json(pairs)
                for (first, second), pairs in one.found.comparisons.items()
            },
        }
        for set_name, one in run.sets.items()
    }
    return {
        "folder": str(run.folder),
        "name": own.name,
        "kind": own.kind,
        "notice": own.notice,
        "base": own.base.model_dump(),
        "identity": dict(run.identity),
        "sets": sets,
    }


def _cell(what: Reproduction, cell: Cell) -> dict[str, Any]:
    return {
        "task": cell.task.value,
        "system": cell.column.name,
        "routing": cell.column.system.routing,
        "set": cell.set,
        "printed": {"measure": published.TABLE3_MEASURES.get(cell.task), "value": cell.printed},
        "status": cell.status,
        "label": what.label(cell.column.checkpoint) if cell.status in ("measured", "not judged") else None,
        "measured": _score(cell.score),
        "not_comparable": _score(cell.instead),
    }


def _score(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    own = signature_of(score.measure, score.scoring)
    return {**own, "questions": score.questions, **plain_estimate(score.estimate)}


def _bars(bars: Bars) -> dict[str, Any]:
    source = "Section 4.1" if bars.task in published.FIGURE5 else "fine-tuned: Table 3; change: Section 4.1"
    return {
        "task": bars.task.value,
        "measure": bars.measure,
        "in_the_paper": bars.is_papers,
        "printed": {
            **dict(zip(_SIDES, bars.printed, strict=True)),
            "change": published.FIGURE5_CHANGES.get(bars.task),
            "source": source,
        }
        if bars.is_papers
        else None,
        "status": bars.status,
        "measured": dict(zip(_SIDES, map(plain, bars.measured), strict=True)) if bars.measured else None,
        "mean_of": list(bars.sets),
    }
