"""Bases of other families through the commands that people run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import call_mevlip, first_of_each

pytestmark = pytest.mark.model

OTHERS = ["qwen2_5_vl", "qwen3_vl", "qwen3_5", "gemma3"]


@pytest.mark.parametrize("name", OTHERS)
def test_predict_and_check(name: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """All questions are asked; what random weights write within a box's grammar need not have an area."""
    inputs = first_of_each(tmp_path / "in")
    done = call_mevlip(
        "predict", inputs, tmp_path / "out", "--checkpoint", tiny_checkpoint(name),
        "--explanations", tmp_path / "why.jsonl", "--max-failures", "20%",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    why = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text().splitlines()]
    reasons = {one["reason"] for one in why if one["stage"] == "fallback"}
    assert len(why) == 18 and reasons <= {"the model's text has a box without area"}
    checked = call_mevlip("predictions", "check", tmp_path / "out" / "predictions.json", "--input", inputs)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("name", OTHERS)
def test_ablate(name: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    inputs = first_of_each(tmp_path / "in")
    done = call_mevlip(
        "ablate", inputs, "--truth", inputs, "--checkpoint", tiny_checkpoint(name), "--resamples", "20",
        "--json", tmp_path / "all.json", "--out", tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "all.json").read_bytes())["systems"]) == 6
    answers = {path.parent.name: path.read_bytes() for path in (tmp_path / "out").rglob("predictions.json")}
    assert len(set(answers.values())) > 3, "systems answer differently"
