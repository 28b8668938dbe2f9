"""The page of many runs: one HTML file that needs no server, no network and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan
from pathlib import Path
from typing import Any

from mevlip.core.text import visible
from mevlip_validation.intervals import Estimate
from mevlip_validation.leaderboard import Board, Standing, rank
from mevlip_validation.output import number, show
from mevlip_validation.published import NOTES, PUBLISHED, published_table
from mevlip_validation.report.page import write_page
from mevlip_validation.score_files import Column, PassedOver, Result


@dataclass(frozen=True)
class Bar:
    """A score, its interval and its constant as places from 0 to 100; None for what there is not."""

    value: float
    low: float | None
    high: float | None
    constant: float | None


@dataclass(frozen=True)
class Cell:
    """A score as the page shows it.

    Attributes:
        value: The score.
        interval: Its interval.
        sort: What a column is sorted by; empty where there is no score.
        best: Whether it is the best of its column.
        bar: Its picture; None where it is not finite.
    """

    value: str
    interval: str
    sort: str
    best: bool
    bar: Bar | None


def write_runs(path: Path, title: str, boards: Sequence[Board], others: Sequence[PassedOver]) -> int:
    """Writes the page.

    Args:
        path: The HTML file.
        title: Where the runs lie.
        boards: The runs.
        others: JSON files that are not used.

    Returns:
        The file's size in bytes.

    Raises:
        EnvironmentProblem: jinja2 is missing, or the file cannot be written.
    """
    columns = [column for board in boards for column in board.columns]
    return write_page(
        path,
        "runs",
        title=title,
        runs=sum(len(board.standings) for board in boards),
        protocol=boards[0].protocol,
        protocols=list(dict.fromkeys(column.protocol for column in columns)),
        boards=[_board(board) for board in boards],
        published=[(year, published_table(year), NOTES[year]) for year in PUBLISHED],
        others=others,
    )


def _board(board: Board) -> dict[str, Any]:
    main = set(board.main_columns)
    return {
        "name": board.truth.name,
        "digest": board.truth.digest[:19],
        "questions": board.truth.questions,
        "differences": [(one.here.signature, one.there) for one in board.differences],
        "columns": [
            {
                "task": column.title,
                "measure": column.measure,
                "better": column.better,
                "protocol": column.protocol,
                "main": column in main,
                "signature": column.signature,
                "constant": number(board.constant(column)),
            }
            for column in board.columns
        ],
        "rows": _rows(board),
        "signatures": [(column.title, column.measure, column.signature) for column in board.columns],
    }


def _rows(board: Board) -> list[dict[str, Any]]:
    cells = [_cells(board, column) for column in board.columns]
    return [_row(standing, [column[place] for column in cells]) for place, standing in enumerate(board.standings)]


def _row(standing: Standing, cells: Sequence[Cell | None]) -> dict[str, Any]:
    run = standing.run
    return {
        "name": run.name,
        "predictions": run.predictions,
        "partial": ", ".join(f"{count} {kind}" for kind, count in run.mismatches.items()),
        "rank": rank(standing),
        "sort": "" if isnan(standing.rank) else repr(standing.rank),
        "cells": cells,
        "seconds": repr(run.written.timestamp()),
        "written": f"{run.written:%Y-%m-%d %H:%M}",
        "version": visible(run.version, 20),
    }


def _cells(board: Board, column: Column) -> list[Cell | None]:
    """A column's scores; their bars share one scale, which begins at zero and ends at one or at the greatest number."""
    results, best = board.results(column), board.best(column)
    known = [value for one in results if one for value in (one.value, one.high, one.constant) if isfinite(value)]
    scale = max(known, default=0.0) if column.better == "lower" else max(1.0, *known, 1.0)
    return [_cell(one, best, scale) for one in results]


def _cell(result: Result | None, best: float, scale: float) -> Cell | None:
    if result is None or isnan(result.value):
        return None
    value = number(result.value)
    interval = show(Estimate(result.value, result.low, result.high)).removeprefix(value).strip()
    sort = {inf: "Infinity", -inf: "-Infinity"}.get(result.value, repr(result.value))
    return Cell(value, interval, sort, result.value == best, _bar(result, scale))


def _bar(result: Result, scale: float) -> Bar | None:
    if not isfinite(result.value) or scale <= 0:
        return None
    low, high = _place(result.low, scale), _place(result.high, scale)
    whole = low is not None and high is not None
    value = _place(result.value, scale)
    assert value is not None  # noqa: S101 - it is finite
    return Bar(value, low if whole else None, high if whole else None, _place(result.constant, scale))


def _place(value: float, scale: float) -> float | None:
    """A number's place on the scale, 0 to 100; None where it has none."""
    return round(100 * min(max(value / scale, 0.0), 1.0), 1) if isfinite(value) else None
