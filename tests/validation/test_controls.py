from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.images import load_question_images
from mevlip.flare.questions import read_input_folder
from mevlip_validation.controls import write_control
from tests.conftest import record


def test_blank_images_keep_names_and_sizes(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    source = write_questions(
        [record(image=["imagesVal/a.jpg", "imagesVal/b.png"], Answer="A"), record(image="gone.png")]
    )
    (source / "Xray/set/gone.png").unlink()
    write_control(source, tmp_path / "blank", "blank")
    folder = read_input_folder(tmp_path / "blank")
    first = load_question_images(folder.questions[0], folder.root, 4).images
    assert [image.size for image in first] == [(40, 30)] * 2
    assert {image.getcolors()[0] for image in first} == {(1200, (128, 128, 128))}  # type: ignore[index]
    assert folder.questions[0].record == {**record(image=["imagesVal/a.jpg", "imagesVal/b.png"]), "Answer": ""}
    assert not list((tmp_path / "blank").rglob("gone.png"))


def test_another_splits_image_folder_is_followed(tmp_path: Path) -> None:
    place = tmp_path / "in/Xray/set"
    (place / "imagesTr").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(place / "imagesTr/a.png")
    (place / "x_questions_val.json").write_text(json.dumps([record(image="imagesVal/a.png")]))
    write_control(tmp_path / "in", tmp_path / "out", "blank")
    assert (tmp_path / "out/Xray/set/imagesTr/a.png").is_file()


def test_questions_alone_name_no_image(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    write_control(write_questions([record(), record(image=["a.png"])]), tmp_path / "alone", "question-only")
    questions = read_input_folder(tmp_path / "alone").questions
    assert [question.image_names for question in questions] == [(), ()]
    assert [path.suffix for path in (tmp_path / "alone").rglob("*.*")] == [".json"]


def test_a_folder_that_cannot_be_written_is_named(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="file cannot be written"):
        write_control(write_questions([record()]), tmp_path / "file", "blank")
