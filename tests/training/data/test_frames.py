"""Training rows of volumes, films and DICOM: the pictures that prediction shows, as PNG."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings, PromptSettings, read_route
from mevlip.flare.issues import IssueCode
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip_training.data.audit import check_folder
from mevlip_training.data.planning import plan
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.recipes.recipe import PerturbedCopies
from tests.conftest import DEMO, ROOT
from tests.mevlip.frame_files import dicom_path, film, nifti, npy, slices
from tests.training.data.conftest import boxes, row

Flare = Callable[..., Path]
FILES = {
    "scan.npy": npy(np.random.default_rng(0).normal(size=(20, 40, 48)).cumsum(axis=0)),
    "scan.nii": nifti(slices(4)),
    "chest.dcm": dicom_path("RG3_UNCI.dcm").read_bytes(),
    "film.mp4": film(50, 10),
}


@pytest.fixture
def tree(flare: Flare) -> Path:
    """A tree with one row of each file, and one of a picture with two of them."""
    rows = [row(answer, f"imagesTr/{name}") for answer, name in zip("ABAB", FILES, strict=True)]
    root = flare(*rows, row("B", ["imagesTr/1.png", "imagesTr/scan.npy", "imagesTr/scan.nii"]))
    for name, content in FILES.items():
        (root / "training/Xray/dental/imagesTr" / name).write_bytes(content)
    return root


def written(out: Path, adapter: str = "classification") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{adapter}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("settings", [ImageSettings(), ImageSettings(frames=4, intensity="slice")])
def test_rows_show_what_prediction_shows(tree: Path, tmp_path: Path, settings: ImageSettings) -> None:
    mark = PromptSettings(image_mark="Slice {number}: ")
    prepare(tree, tmp_path / "out", Choices(image_settings=settings, prompt=mark), quiet=True)
    assert read_route(tmp_path / "out/routes/classification").images == settings
    questions = read_input_folder(tree).questions
    counts = []
    with ImageStore(tree.resolve()) as store:
        for question, one in zip(questions, written(tmp_path / "out"), strict=True):
            loaded = store.load(question, settings.model_copy(update={"min_pixels": 1, "max_pixels": 10**9}))
            assert len(one["images"]) == len(loaded.images) == one["conversations"][0]["value"].count("<image>")
            for name, picture in zip(one["images"], loaded.images, strict=True):
                with Image.open(tmp_path / "out" / name) as opened:
                    assert np.array_equal(np.asarray(opened.convert("RGB")), np.asarray(picture)), name
            counts.append(len(loaded.images))
    assert counts == ([11, 4, 1, 5, 7] if settings.frames == 11 else [4, 4, 1, 4, 3])


def test_frames_have_names_that_say_which_they_are(tree: Path, tmp_path: Path) -> None:
    prepare(tree, tmp_path / "out", Choices(image_settings=ImageSettings(frames=3)), quiet=True)
    volume, _, chest, *_ = written(tmp_path / "out")
    place = "images/Xray/dental/imagesTr"
    assert volume["images"] == [f"{place}/scan.npy-{number:04}.png" for number in (1, 10, 20)]
    assert chest["images"] == [f"{place}/chest.dcm.png"]


def test_each_image_of_its_own_row_has_its_own_frames(tree: Path, tmp_path: Path) -> None:
    prepare(tree, tmp_path / "out", Choices(images="explode"), quiet=True)
    assert [len(one["images"]) for one in written(tmp_path / "out")][4:] == [1, 11, 4]


def test_boxes_are_in_pixels_of_a_slice(flare: Flare, tmp_path: Path) -> None:
    root = flare(boxes([[12, 10, 24, 20]], "imagesTr/scan.npy"), boxes([[1, 1, 9, 9]], "imagesTr/1.png"))
    (root / "training/Xray/dental/imagesTr/scan.npy").write_bytes(FILES["scan.npy"])
    prepare(root, tmp_path / "out", Choices(), quiet=True)
    one, _ = written(tmp_path / "out", "detection")
    assert json.loads(one["conversations"][1]["value"]) == [[250, 250, 500, 500]], "of 48 x 40"


def test_perturbed_copies_have_all_frames(tree: Path, tmp_path: Path) -> None:
    prepare(tree, tmp_path / "out", Choices(perturb=PerturbedCopies(), images="first"), quiet=True)
    rows = written(tmp_path / "out")
    assert [len(one["images"]) for one in rows[:5]] == [len(one["images"]) for one in rows[5:]] == [11, 4, 1, 5, 1]
    copied = rows[5]["images"]
    assert len(set(copied)) == 11 and all((tmp_path / "out" / name).is_file() for name in copied)


def test_planned_lengths_count_every_frame(tree: Path) -> None:
    longest = []
    for frames in (1, 11):
        choices = Choices(tokenizer=DEMO / "base", image_settings=ImageSettings(frames=frames))
        longest.append(max(line[8] for line in plan(tree, choices, None, ROOT / "llamafactory_configs", quiet=True)))
    assert longest[1] >= longest[0] + 8 * 16, "of 16 tokens each"


def test_checks_look_at_a_middle_slice_and_name_what_cannot_be_read(tree: Path) -> None:
    folder = tree / "training/Xray/dental/imagesTr"
    empty = np.zeros((20, 40, 48), np.float32)
    empty[5:15] = np.random.default_rng(1).normal(size=(10, 40, 48))
    (folder / "scan.npy").write_bytes(npy(empty))
    (folder / "film.mp4").write_bytes(FILES["film.mp4"][:300])
    found = [(one.code, one.index) for one in check_folder(tree, quiet=True).issues]
    assert (IssueCode.UNREADABLE_IMAGE, 3) in found
    assert not {(code, index) for code in (IssueCode.BLANK, IssueCode.SINGLE_COLOR) for index in (0, 1)} & {*found}
