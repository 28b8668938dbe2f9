"""A folder whose images lie in zip archives is predicted as the same folder with its images unpacked."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, answer_folder

pytestmark = pytest.mark.usefixtures("loaded_once")


def test_archived_images_give_the_same_predictions(tmp_path: Path) -> None:
    for name in ("Clinical/skin_tint", "Xray/bone_loss"):
        shutil.copytree(EXAMPLES / name, tmp_path / "plain" / name)
    shutil.copytree(tmp_path / "plain", tmp_path / "packed")
    for images in sorted((tmp_path / "packed").rglob("imagesVal")):
        with zipfile.ZipFile(images.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as packed:
            for path in images.iterdir():
                packed.write(path, path.name)
        shutil.rmtree(images)
    outputs = []
    for name in ("plain", "packed"):
        report = answer_folder(tmp_path / name, tmp_path / f"{name}-out")
        assert not [answer.problems for answer in report.answers if answer.problems]
        outputs.append(report.predictions.read_bytes())
    assert outputs[0] == outputs[1]
