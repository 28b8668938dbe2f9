"""What a case is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.conftest import record

FILE = "x_questions_val.json"
GOOD = record(image="good.png")
"""A record that must be answered, whatever stands beside it."""


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        name: Its name, also of its folder.
        write: Writes its files into its folder.
        rows: How many of its records are answered; None where its file is refused.
        good: How many of them are `GOOD` and so get the model's own answer.
        problem: What is said about it; empty where nothing need be said.
    """

    name: str
    write: Callable[[Path], object]
    rows: int | None
    good: int = 0
    problem: str = ""


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    """An image file."""
    file = BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind, **options)
    return file.getvalue()


def put(folder: Path, text: str | bytes, file: str = FILE) -> None:
    """Writes a question file and the picture that `GOOD` names."""
    (folder / "good.png").write_bytes(picture())
    (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def file_case(name: str, content: str | bytes, problem: str, rows: int | None = None) -> Case:
    """A question file of that content, which is refused unless it has rows."""
    return Case(name, lambda folder: put(folder, content), rows, rows or 0, problem)


def record_case(
    name: str, odd: str | dict[str, Any], problem: str = "", prepare: Callable[[Path], object] = id
) -> Case:
    """A record, as JSON or to be written as such, between two good ones."""

    def write(folder: Path) -> None:
        text = odd if isinstance(odd, str) else json.dumps(odd)
        put(folder, f"[{json.dumps(GOOD)}, {text}, {json.dumps(GOOD)}]")
        prepare(folder)

    return Case(name, write, 3, 2, problem)
