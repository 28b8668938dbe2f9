"""Copies of training rows with perturbed pictures: which are drawn, and that boxes stay on what they are around."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mevlip.core.errors import InputError
from mevlip.flare.questions import Question
from mevlip.tasks import TaskType
from mevlip_training.data import processes
from mevlip_training.data.mixing import draw_copy
from mevlip_training.data.planning import HEADER, plan
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.data.records import Example
from mevlip_training.recipes.recipe import PerturbedCopies
from tests.conftest import ROOT
from tests.training.data.conftest import boxes, row

Flare = Callable[..., Path]
CONFIGS = ROOT / "llamafactory_configs"
BOX = (60, 40, 110, 90)


def rows_of(out: Path, adapter: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{adapter}.jsonl").read_text("utf-8").splitlines()]


def white_box(path: Path, box: tuple[int, int, int, int] = BOX) -> None:
    """Writes a black picture with a white rectangle."""
    image = Image.new("RGB", (200, 150))
    ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), "white")
    image.save(path)


def bright_part(path: Path) -> tuple[int, int, int, int]:
    """The box around what is white in a picture."""
    rows, columns = np.nonzero(np.asarray(Image.open(path).convert("L")) > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_every_row_gets_a_copy_of_its_own_that_adapters_share(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row("A", image=f"imagesTr/{number}.png") for number in range(1, 5)))
    written = prepare(root, tmp_path / "out", Choices(perturb=PerturbedCopies()), quiet=True)
    generalist, own = rows_of(written.out, "generalist"), rows_of(written.out, "classification")
    assert generalist == own
    originals, copies = own[:4], own[4:]
    assert len(copies) == 4
    for original, copy in zip(originals, copies, strict=True):
        assert copy["conversations"] == original["conversations"]
        assert copy["id"].startswith(f"{original['id']}/")
        (path,) = copy["images"]
        assert path.startswith("images/perturbed/Xray/dental/imagesTr/")
        before, after = (Image.open(written.out / one["images"][0]) for one in (original, copy))
        assert after.mode == "RGB" and after.size == before.size
        assert np.any(np.asarray(after) != np.asarray(before.convert("RGB")))
    assert len(list((written.out / "images/perturbed").rglob("*.png"))) == 4


@pytest.mark.parametrize("box_space", ["pixel", "norm1000"])
@pytest.mark.parametrize("name", ["translation", "scaling", "rotation"])
def test_boxes_stay_on_what_they_are_around(flare: Flare, tmp_path: Path, name: str, box_space: Any) -> None:
    root = flare(boxes(json.dumps([BOX])))
    white_box(root / "training/Xray/dental/imagesTr/1.png")
    rule = PerturbedCopies(levels=(5,), names=(name,))
    out = prepare(root, tmp_path / "out", Choices(perturb=rule, box_space=box_space), quiet=True).out
    _, copy = rows_of(out, "detection")
    (found,) = json.loads(copy["conversations"][1]["value"])
    scale = np.array((200, 150, 200, 150)) / (1000 if box_space == "norm1000" else np.array((200, 150, 200, 150)))
    there = np.array(bright_part(out / copy["images"][0]))
    assert np.abs(np.array(found) * scale - there).max() <= 2
    assert np.abs(there - np.array(BOX)).max() >= 3, "it did move"


def test_a_large_picture_is_perturbed_as_the_model_gets_it_and_boxes_stay_in_the_originals_pixels(
    flare: Flare, tmp_path: Path
) -> None:
    root = flare(boxes(json.dumps([[600, 400, 1100, 900]])))
    image = root / "training/Xray/dental/imagesTr/1.png"
    white_box(image)
    Image.open(image).resize((2000, 1500), Image.Resampling.NEAREST).save(image)
    rule = PerturbedCopies(levels=(5,), names=("translation",))
    out = prepare(root, tmp_path / "out", Choices(perturb=rule, box_space="pixel"), quiet=True).out
    _, copy = rows_of(out, "detection")
    (found,) = json.loads(copy["conversations"][1]["value"])
    path = out / copy["images"][0]
    width, height = Image.open(path).size
    assert width * height <= 768 * 768 < 2000 * 1500
    assert np.abs(np.array(found) * width / 2000 - bright_part(path)).max() <= 2


def test_a_copy_without_anything_left_to_find_is_left_out(flare: Flare, tmp_path: Path) -> None:
    corner = (0, 0, 4, 4)
    root = flare(*(boxes(json.dumps([corner]), image=f"imagesTr/{number}.png") for number in range(1, 13)))
    for number in range(1, 13):
        path = root / f"training/Xray/dental/imagesTr/{number}.png"
        white_box(path, corner)
        image = Image.open(path).convert("RGB")
        image.putpixel((150, 100), (number, number, number))  # another picture, so moved elsewhere
        image.save(path)
    rule = PerturbedCopies(levels=(5,), names=("translation",))
    out = prepare(root, tmp_path / "out", Choices(perturb=rule), quiet=True).out
    rows = rows_of(out, "detection")
    assert 12 < len(rows) < 24, "some moved into the picture, some out of it"
    assert all(json.loads(one["conversations"][1]["value"]) for one in rows)


def test_a_share_of_the_rows_has_copies_and_the_dry_run_counts_them(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row("A", image=f"imagesTr/{number}.png") for number in range(1, 41)))
    choices = Choices(perturb=PerturbedCopies(share=0.5))
    lines = {line[0]: dict(zip(HEADER, line, strict=True)) for line in plan(root, choices, None, CONFIGS, quiet=True)}
    copied = len(rows_of(prepare(root, tmp_path / "out", choices, quiet=True).out, "classification")) - 40
    assert lines["classification"]["perturbed"] == copied
    assert lines["classification"]["balanced"] == 40
    assert 10 < copied < 30


def test_what_changes_the_answer_is_not_drawn() -> None:
    def drawn(task: TaskType, category: str) -> set[str]:
        example = Example(Question.given_as("?"), "1", task, "training", category, "any")
        copies = (draw_copy(example, str(key), PerturbedCopies()) for key in range(2000))
        return {copy.perturbation for copy in copies if copy}

    assert {"rotation", "translation", "scaling", "stain_variation"} <= drawn(TaskType.DETECTION, "Microscopy")
    assert {"rotation", "translation"} & drawn(TaskType.COUNTING, "Microscopy") == set()
    assert "scaling" in drawn(TaskType.COUNTING, "Microscopy")
    skin = drawn(TaskType.REGRESSION, "Clinical")
    assert "gaussian_noise" in skin
    assert {"brightness", "contrast", "light_reflection", "local_over_exposure"} & skin == set()
    assert drawn(TaskType.CLASSIFICATION, "Angiography") == drawn(TaskType.CLASSIFICATION, "Unheard of")
    assert len(drawn(TaskType.CLASSIFICATION, "Angiography")) == 12


def test_nothing_is_drawn_where_a_named_perturbation_is_for_other_pictures() -> None:
    example = Example(Question.given_as("?"), "A", TaskType.CLASSIFICATION, "training", "Xray", "any")
    assert draw_copy(example, "key", PerturbedCopies(names=("hair",))) is None


def test_a_name_that_does_not_exist_is_refused_before_pictures_are_read(flare: Flare, tmp_path: Path) -> None:
    choices = Choices(perturb=PerturbedCopies(names=("noise",)))
    with pytest.raises(InputError, match="'noise' is not a perturbation"):
        prepare(flare(row()), tmp_path / "out", choices, quiet=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.model
def test_several_processes_write_what_one_does(flare: Flare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = flare(*(row("A", image=f"imagesTr/{number}.png") for number in range(1, 7)))
    choices = Choices(perturb=PerturbedCopies())
    one = prepare(root, tmp_path / "one", choices, quiet=True).out
    monkeypatch.setattr(processes, "FEW", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    two = prepare(root, tmp_path / "two", choices, quiet=True).out
    files = {path.relative_to(one): path.read_bytes() for path in one.rglob("*.png")}
    assert {path.relative_to(two): path.read_bytes() for path in two.rglob("*.png")} == files
    assert (two / "generalist.jsonl").read_bytes() == (one / "generalist.jsonl").read_bytes()
