"""`mevlip ask` on the demo; where nothing about a process is tested, in this one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mevlip.core.errors import MevlipError
from tests.conftest import EXAMPLES, call_mevlip, run_mevlip

pytestmark = pytest.mark.usefixtures("loaded_once")

NODULE = EXAMPLES / "Ultrasound/nodule_boxes/imagesVal/nodule_boxes_00000.png"
WHERE = "Return [x_min, y_min, x_max, y_max] of the nodule."


def test_the_answer_comes_with_how_it_came_about() -> None:
    done = call_mevlip("ask", NODULE, "Is there a nodule? A: No, B: Yes", "--task", "classification", "--json")
    assert done.exit_code == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["task"] == shown["adapter"] == "classification" and shown["router_confidence"] == 1
    assert shown["answer"] in ("A", "B")
    assert sum(shown["option_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert shown["option_probabilities"][shown["answer"]] == pytest.approx(shown["probability"], abs=1e-6)


def test_boxes_are_drawn_on_the_first_image(tmp_path: Path) -> None:
    done = call_mevlip("ask", NODULE, WHERE, "--task", "detection", "--draw", tmp_path / "drawn.png", "--json")
    assert done.exit_code == 0, done.stderr
    x_min, y_min, x_max, y_max = json.loads(json.loads(done.stdout)["answer"])[0]
    before, after = (np.asarray(Image.open(path).convert("RGB"), int) for path in (NODULE, tmp_path / "drawn.png"))
    changed = np.argwhere((before != after).any(axis=2))
    assert (changed.min(axis=0) == (y_min, x_min)).all() and (changed.max(axis=0) == (y_max, x_max)).all()


@pytest.mark.parametrize(
    ("arguments", "status", "cause"),
    [
        (["no such file.png", "Which?"], 2, "does not exist"),
        ([NODULE, "Which?", "--task", "guessing"], 2, "guessing"),
        ([Path(__file__), "Which? A: This, B: That"], 5, "no image could be used"),
        ([NODULE, ""], 5, "no Question text"),
        ([NODULE, WHERE, "--task", "detection", "--draw", "/dev/null/drawn.png"], 3, "cannot be written"),
        ([NODULE, WHERE, "--task", "detection", "--draw", "drawn.nonsense"], 3, "cannot be written"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str | Path], status: int, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call_mevlip("ask", *arguments)
    if isinstance(done.exception, MevlipError):
        assert done.exception.exit_code == status and cause in str(done.exception)
    else:
        assert done.exit_code == status and cause in done.stderr.strip().splitlines()[-1]


def test_a_mistake_ends_the_process_in_one_line() -> None:
    done = run_mevlip("ask", Path(__file__), "Which? A: This, B: That", "--task", "classification")
    assert done.returncode == 5, done.stderr
    assert "no image could be used" in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
