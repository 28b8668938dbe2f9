"""Plain-text tables for the terminal, and tables as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from mevlip.core.files import atomic_file
from mevlip.core.text import visible


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lays rows out in columns, unseen characters escaped; columns whose cells are all numbers stand to the right."""
    body = list(rows)
    cells = [[visible(str(cell)) for cell in row] for row in body]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [bool(body) and all(isinstance(row[i], int | float) for row in body) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *(line(row) for row in cells)])


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Writes a table as a CSV file; its folder is made where it is absent.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    with (
        atomic_file(path, "Name another file.") as draft,
        draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
