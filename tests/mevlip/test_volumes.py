"""Volumes, films and DICOM through the whole predictor, and in training data as prediction shows them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.images import load_image
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings
from tests.conftest import FakeModel, answer_folder, record
from tests.mevlip.frame_files import dicom_path, film, nifti, npy, slices

WIDE = slices(20, 30, 40)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Questions about a volume, a film and DICOM files, some in an archive."""
    folder = tmp_path / "in" / "CT" / "scans"
    (folder / "imagesVal").mkdir(parents=True)
    (folder / "imagesVal/scan.npy").write_bytes(npy(WIDE))
    real = {"chest": "RG1_UNCR.dcm", "ct": "CT_small.dcm", "ultrasound": "color3d_jpeg_baseline.dcm"}
    for name, file in real.items():
        (folder / f"imagesVal/{name}.dcm").write_bytes(dicom_path(file).read_bytes())
    with zipfile.ZipFile(folder / "imagesVal.zip", "w") as packed:
        packed.writestr("scan.nii", nifti(WIDE, "RAS"))
        packed.writestr("endoscopy.mp4", film(30, 10))
        packed.writestr("mr.dcm", dicom_path("emri_small.dcm").read_bytes())
    names = ["scan.npy", "chest.dcm", "scan.nii", "endoscopy.mp4", "mr.dcm", "ct.dcm", "ultrasound.dcm"]
    records = [record(image=f"imagesVal/{name}") for name in names]
    records.append(record(image=["imagesVal/scan.npy", "imagesVal/chest.dcm"]))
    records.append(record("Find the lesion. Give its box.", "imagesVal/scan.nii", TaskType="detection"))
    (folder / "scans_questions_val.json").write_text(json.dumps(records), "utf-8")
    return tmp_path / "in"


SHOWN = [11, 1, 11, 3, 10, 1, 11, 6, 11]
"""Of a radiograph (MONOCHROME1), a CT slice, ten frames of MR, 120 of ultrasound, and synthetic files."""


def test_a_run_shows_the_frames_of_every_kind(volumes: Path, tmp_path: Path) -> None:
    model = FakeModel(lambda *_: "B")
    report = answer_folder(volumes, tmp_path / "out", model, routing="declared")
    assert [result.problems for result in report.answers] == [()] * len(SHOWN)
    assert sorted(shown for _, _, pictures, _ in model.batches for shown in pictures) == sorted(SHOWN)
    assert set(model.shown) == {(40, 30), (745, 791), (64, 48), (64, 64), (128, 128), (640, 480)}


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.model
def test_a_model_of_the_real_shape_answers_about_every_kind(
    volumes: Path, thin_checkpoint: Path, tmp_path: Path
) -> None:
    report = answer_folder(volumes, tmp_path / "out", checkpoint=thin_checkpoint, routing="declared")
    assert not [result for result in report.answers if result.failed or result.problems]
    [*_, found] = json.loads((tmp_path / "out/predictions.json").read_bytes())
    for x_min, y_min, x_max, y_max in json.loads(found["Answer"]):
        assert 0 <= x_min < x_max <= 40 and 0 <= y_min < y_max <= 30, "pixels of a slice"


def test_python_callers_hand_over_paths_and_bytes(tmp_path: Path) -> None:
    model = FakeModel(lambda *_: "B")
    predictor = Predictor.find(PredictorSettings(checkpoint="demo"), load_model=lambda *_: model)
    path = dicom_path("RG3_UNCI.dcm")
    for image in (path, str(path), path.read_bytes(), load_image(path)):
        assert predictor.ask("Which? A: Cat, B: Dog", [image], task="classification").text == "B"
    assert model.shown == [(768, 768)] * 4
    predictor.ask("Which? A: Cat, B: Dog", [npy(WIDE)], task="classification")
    assert model.batches[-1][2] == [11]


def test_pictures_that_the_window_has_no_room_for_say_what_to_set(tmp_path: Path) -> None:
    model = FakeModel(lambda *_: "B")
    model.window = 100
    predictor = Predictor.find(PredictorSettings(checkpoint="demo"), load_model=lambda *_: model)
    answer = predictor.ask("Which? A: Cat, B: Dog", [npy(WIDE)], task="classification")
    assert answer.failed and answer.text == "A" and not model.batches
    assert answer.reason == (
        "its 11 pictures take 110 tokens, more than the model's window of 100: lower images.frames or max_count of "
        "adapter 'classification'"
    )


def test_a_damaged_volume_costs_its_own_answer_only(volumes: Path, tmp_path: Path) -> None:
    (volumes / "CT/scans/imagesVal/scan.npy").write_bytes(npy(WIDE)[:-1])
    report = answer_folder(volumes, tmp_path / "out", FakeModel(lambda *_: "B"), routing="declared")
    first, *others, both, _ = report.answers
    assert first.failed and "ends after 95999 of 96000 bytes of values" in first.problems[0]
    assert not any(other.failed for other in others) and not both.failed and len(both.problems) == 1


def test_an_input_with_volumes_is_checked_by_a_middle_slice(volumes: Path) -> None:
    """The first slices of scans are often empty, which is nothing to report."""
    empty = np.zeros((20, 64, 64), np.float32)
    empty[5:15] = np.random.default_rng(0).normal(size=(10, 64, 64))
    (volumes / "CT/scans/imagesVal/scan.npy").write_bytes(npy(empty))
    folder = read_input_folder(volumes)
    with ImageStore(folder.root) as store:
        facts = store.facts(folder.questions[0], "imagesVal/scan.npy")
        assert (facts.frames, facts.size, facts.plain) == (20, (64, 64), False)
        assert facts.appearance.spread > 10
        assert store.facts(folder.questions[3], "imagesVal/endoscopy.mp4").frames == 3


@pytest.mark.parametrize(
    ("written", "settings"),
    [
        ({}, ImageSettings()),
        ({"frames": 32}, ImageSettings(frames=32)),
        ({"intensity": "slice"}, ImageSettings(intensity="slice")),
    ],
)
def test_settings_for_frames_are_written_only_where_they_differ(
    written: dict[str, Any], settings: ImageSettings
) -> None:
    """Routes of before have the same bytes as then."""
    before = {"max_count", "min_pixels", "max_pixels", "crop_to_patches", "max_patches"}
    plain = json.loads(settings.model_dump_json())
    assert {key: value for key, value in plain.items() if key not in before} == written
    assert ImageSettings.model_validate(plain) == settings
    assert settings.model_dump() == plain


def test_pillow_pictures_with_pages_are_their_open_page(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    model = FakeModel(lambda *_: "B")
    predictor = Predictor.find(PredictorSettings(checkpoint="demo"), load_model=lambda *_: model)
    with Image.open(tmp_path / "two.tif") as opened:
        opened.seek(1)
        predictor.ask("Which? A: Cat, B: Dog", [opened], task="classification")
    predictor.ask("Which? A: Cat, B: Dog", [tmp_path / "two.tif"], task="classification")
    assert [pictures for _, _, pictures, _ in model.batches] == [[1], [2]]
