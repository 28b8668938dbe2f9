"""The notebook examples/quickstart.ipynb runs and prints what is stored in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG, ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"

RUN_CELLS = """
import contextlib, io, json, sys

names, printed = {"__name__": "__main__"}, []
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(compile(code, "cell", "exec"), names)
    printed.append(shown.getvalue())
json.dump(printed, sys.stdout)
"""


def printed(codes: Sequence[str], folder: Path, output: Path) -> list[str]:
    """What code cells print that run in order in one fresh interpreter, in a folder, with their output in another."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS],
        input=json.dumps(codes),
        cwd=folder,
        env={**os.environ, "TMPDIR": str(output)},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown: list[str] = json.loads(done.stdout)
    return shown


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text("utf-8"))
    return content


def test_it_is_a_notebook_of_the_format_it_names(notebook: dict[str, Any]) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells), "format 4.5 asks for an id of each cell"
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(output["output_type"] == "stream" for cell in code for output in cell["outputs"]), "text alone"


@pytest.mark.model
@pytest.mark.parametrize("folder", [ROOT, NOTEBOOK.parent], ids=["from the repository", "from its own folder"])
def test_its_cells_print_what_is_stored(notebook: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    stored = ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in code]
    assert printed(["".join(cell["source"]) for cell in code], folder, tmp_path) == stored
