"""Real radiographs, CT, MR, ultrasound, fundus and microscopy: read, fitted, encoded and answered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.images import load_image
from mevlip.flare.pixels import fit_pixel_budget
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import Prompt
from mevlip.tasks import TASKS, TaskType
from tests.conftest import DEMO, answer_folder
from tests.mevlip.real_pictures import PICTURES, Picture, dicom, sizes

QUESTIONS = {
    TaskType.CLASSIFICATION: "Which finding does the picture show? A: None, B: Mass, C: Fracture",
    TaskType.MULTI_LABEL: "Select all that apply, separated by semicolons: Effusion; Nodule; Fracture",
    TaskType.DETECTION: "Give the bounding box of the lesion as [[x_min, y_min, x_max, y_max]].",
    TaskType.INSTANCE_DETECTION: "Return a JSON object of chromosome ids with their boxes.",
    TaskType.COUNTING: "How many cells are in this picture?",
    TaskType.REGRESSION: "What percentage of bone is lost?",
    TaskType.REPORT: "Write a report on this picture.",
}


@pytest.mark.slow
def test_they_have_the_sizes_and_depths_of_their_originals() -> None:
    shapes = {name: (width, height) for name, width, height in sizes()}
    assert shapes["chest_15_bit.png"] == (1841, 1955)
    assert shapes["extremity_10_bit.png"] == (1760, 1760)
    assert shapes["retina.jpg"] == (1411, 1411)
    assert shapes["mr_12_bit.tif"] == (1024, 1024)
    assert shapes["mr_head_64.png"] == (64, 64)
    assert (dicom("RG1_UNCI.dcm").BitsStored, dicom("RG1_UNCI.dcm").BodyPartExamined) == (15, "CHEST")
    assert dicom("color3d_jpeg_baseline.dcm").NumberOfFrames == 120


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES, ids=lambda one: one.name)
def test_a_real_picture_is_read_in_full_range_and_fitted_in_its_own_shape(picture: Picture, tmp_path: Path) -> None:
    image = load_image(picture.put(tmp_path))
    wanted = picture.expected()
    got = np.asarray(image)
    assert (image.mode, got.shape) == ("RGB", wanted.shape)
    difference = np.abs(got.astype(int) - wanted.astype(int))
    assert difference.max() <= (160 if picture.lossy else 0)
    assert difference.mean() < 2
    settings = ImageSettings()
    fitted = fit_pixel_budget(image, settings.min_pixels, settings.max_pixels)
    assert settings.min_pixels <= fitted.width * fitted.height <= settings.max_pixels
    assert fitted.width / fitted.height == pytest.approx(image.width / image.height, rel=0.03)


@pytest.fixture(scope="module")
def encoder(thin_checkpoint: Path) -> PromptEncoder:
    return PromptEncoder("internvl", thin_checkpoint / "base")


@pytest.mark.parametrize("tiles", [False, True], ids=["whole", "tiles"])
def test_its_tiles_are_finite_and_in_the_processors_range(encoder: PromptEncoder, tiles: bool, tmp_path: Path) -> None:
    for picture in PICTURES:
        settings = ImageSettings(crop_to_patches=tiles)
        image = fit_pixel_budget(load_image(picture.put(tmp_path)), settings.min_pixels, settings.max_pixels)
        encoded = encoder.encode([Prompt("What?", "", 1)], [[image]], settings)
        pixels = encoded["pixel_values"]
        assert pixels.shape[1:] == (3, 448, 448)
        assert (len(pixels) == 1) if not tiles else (1 <= len(pixels) <= 13)
        assert pixels.isfinite().all() and pixels.abs().max() < 3, "normalized by ImageNet's means"
        assert int((encoded["input_ids"] == 151_667).sum()) == 256 * len(pixels)


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("size", ["thin", "demo"])
def test_every_task_is_answered_about_real_pictures(size: str, thin_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for picture in PICTURES:
        picture.put(folder)
    names = [picture.name for picture in PICTURES]
    tasks = list(TaskType)
    # Each picture is asked two of the tasks, and one question shows four of them.
    records = [
        {"TaskType": task.value, "ImageName": name, "Question": QUESTIONS[task]}
        for place, name in enumerate(names) for task in (tasks[place % 7], tasks[(place + 3) % 7])
    ]  # fmt: skip
    several = {"TaskType": "classification", "ImageName": names[3:7], "Question": QUESTIONS[TaskType.CLASSIFICATION]}
    records.append(several)
    (folder / "real_questions_val.json").write_text(json.dumps(records), "utf-8")
    checkpoint = thin_checkpoint if size == "thin" else DEMO
    report = answer_folder(folder, tmp_path / "out", checkpoint=checkpoint, routing="declared")
    assert {result.task for result in report.answers} == set(TASKS)
    assert not [result for result in report.answers if result.failed or result.problems]
    pages = 11  # of the file of twelve that is among them
    assert report.counters.pictures_encoded == len(names) - 1 + pages, "each once, for all questions and adapters"
    extent = {name: (width, height) for name, width, height in sizes()}
    rows = json.loads((tmp_path / "out/predictions.json").read_bytes())
    for row, result in zip(rows, report.answers, strict=True):
        if result.task is TaskType.DETECTION:
            width, height = extent[row["ImageName"]]
            for x_min, y_min, x_max, y_max in json.loads(row["Answer"]):
                assert 0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height
