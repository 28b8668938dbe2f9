"""Rows that a training is watched on, beside those that it is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.tasks import GENERALIST
from mevlip_training.data import validation
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.recipes.reading import read_recipe
from tests.conftest import call_mevlip
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]
ASKED = {"Split": "val"}


def held_out(flare: Flare, *records: dict[str, Any]) -> Path:
    return flare(*(one | ASKED for one in records), split="validation", suffix="val") / "validation"


def read(out: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text("utf-8").splitlines()]


def run(root: Path, out: Path, source: Path | None, recipe: str = "", **choices: Any) -> Path:
    file = out.with_name("recipe.yaml")
    file.write_text(recipe, "utf-8")
    prepare(root / "training", out, Choices(**choices), True, read_recipe(str(file)) if recipe else None, source)
    return out


def images(rows: list[dict[str, Any]]) -> list[str]:
    return [Path(name).name for one in rows for name in one["images"]]


def test_validation_rows_are_asked_as_training_asks_and_never_trained_on(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("B"), boxes("[1, 2, 3, 4]", "imagesTr/2.png"))
    source = held_out(flare, row("A", "imagesTs/3.png"), measure("7.5", "imagesTs/4.png"))
    alone = run(root, tmp_path / "alone", None)
    out = run(root, tmp_path / "out", source)
    for name in (GENERALIST, "classification", "detection"):
        assert (out / f"{name}.jsonl").read_bytes() == (alone / f"{name}.jsonl").read_bytes()
    [one] = read(out, "classification_validation")
    assert one == read(out, "classification")[0] | {
        "conversations": [
            {"from": "human", "value": "<image>\nWhich is it? A: This, B: That"},
            {"from": "gpt", "value": "A"},
        ],
        "images": ["images/Xray/dental/imagesTs/3.png"],
        "id": "dental/dental_questions_val/0",
    }
    assert (out / one["images"][0]).is_file()
    assert len(read(out, "generalist_validation")) == 2
    info = json.loads((out / "dataset_info.json").read_bytes())
    assert info["classification_validation"] == info["classification"] | {
        "file_name": "classification_validation.jsonl"
    }
    assert set(info) == {
        "generalist",
        "classification",
        "detection",
        "generalist_validation",
        "classification_validation",
    }
    assert json.loads((out / "prepared.json").read_bytes())["validation"] == {"generalist": 2, "classification": 1}


def test_a_question_on_an_image_that_is_trained_on_is_left_out(
    flare: Flare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = flare(row("B"))
    source = held_out(flare, row("A", ["imagesTs/3.png", "elsewhere/1.png"]), row("A", "imagesTs/4.png"))
    out = run(root, tmp_path / "out", source)
    assert images(read(out, "classification_validation")) == ["4.png"]
    assert "1 questions show an image that is trained on: left out" in caplog.text


def test_the_training_rows_themselves_are_no_validation(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("B"))
    with pytest.raises(InputError, match=r"can be validated on \(1 show an image that is trained on\)"):
        run(root, tmp_path / "out", root / "training")
    assert not (tmp_path / "out").exists()


def test_a_refit_leaves_no_validation(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("B"))
    source = held_out(flare, row("A", "imagesTs/3.png"))
    recipe = tmp_path / "refit.yaml"
    recipe.write_text("default: {refit: true}", "utf-8")
    with pytest.raises(InputError, match="image that is trained on"):
        prepare(root, tmp_path / "out", Choices(), True, read_recipe(str(recipe)), source)


def test_rows_are_not_repeated_and_exploded_ones_are_asked_with_their_first_image(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("B", ["imagesTr/1.png", "imagesTr/2.png"]))
    source = held_out(flare, row("A", ["imagesTs/3.png", "imagesTs/4.png"]))
    out = run(root, tmp_path / "out", source, "default: {show: explode, balance: {rows: 6}}")
    assert images(read(out, "classification")) == ["1.png"] * 3 + ["2.png"] * 3
    assert images(read(out, "classification_validation")) == ["3.png"]


def test_what_an_adapter_or_the_checks_leave_out_is_not_validated_on(
    flare: Flare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = flare(row("B"), measure("3.5", "imagesTr/2.png"))
    source = held_out(
        flare, row("no such option", "imagesTs/3.png"), measure("7.5", "imagesTs/4.png"), row("A", "imagesTs/5.png")
    )
    out = run(root, tmp_path / "out", source, "adapters: {generalist: {leave_out: {tasks: [regression]}}}")
    assert images(read(out, "generalist_validation")) == ["5.png"]
    assert images(read(out, "regression_validation")) == ["4.png"]


def test_an_adapter_without_validation_rows_is_named(
    flare: Flare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = flare(row("B"), measure("3.5", "imagesTr/2.png"))
    out = run(root, tmp_path / "out", held_out(flare, row("A", "imagesTs/3.png")))
    assert not (out / "regression_validation.jsonl").exists()
    assert "has no rows for regression: trained without validation" in caplog.text


def test_of_many_rows_some_are_taken_evenly(flare: Flare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MOST_ROWS", 3)
    root = flare(row("B"))
    source = held_out(flare, *(row("A", f"imagesTs/{number}.png") for number in range(2, 11)))
    out = run(root, tmp_path / "out", source)
    assert images(read(out, "generalist_validation")) == ["2.png", "6.png", "10.png"]


def test_an_output_around_the_validation_rows_is_refused(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("B"))
    source = held_out(flare, row("A", "imagesTs/3.png"))
    out = run(root, tmp_path / "out", None)
    inside = source.rename(out / "validation")
    with pytest.raises(EnvironmentProblem, match="lie within each other"):
        run(root, out, inside)
    assert inside.is_dir()


def test_the_command_shows_how_many_rows_there_are(flare: Flare, tmp_path: Path) -> None:
    root, out = flare(row("B")), tmp_path / "out"
    source = held_out(flare, row("A", "imagesTs/3.png"))
    planned = call_mevlip("data", "prepare", root / "training", "--validation", source, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    header, _, line, *_ = planned.stdout.splitlines()
    assert dict(zip(header.split(), line.split(), strict=False))["validation"] == "1"
    done = call_mevlip("data", "prepare", root / "training", "--validation", source, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "validation rows" in done.stdout and "and 2 routes to" in done.stdout
