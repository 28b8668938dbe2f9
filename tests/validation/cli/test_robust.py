from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip_validation.cli.robust import robust
from tests.validation.perturbations.pictures import synthetic


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    synthetic(64, 48, gray=True).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def show(picture: Path, *options: str) -> str:
    done = CliRunner().invoke(robust, ["show", str(picture), "--quiet", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_strips_and_a_table_are_written_for_a_modality(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = show(picture, "--perturbation", "X-ray", "--out", str(out))
    assert len(list(out.glob("*.png"))) == 17
    rows = list(csv.DictReader((out / "levels.csv").open()))
    assert len(rows) == 85
    exposure = [row for row in rows if row["perturbation"] == "under_exposure"]
    assert [row["parameter"] for row in exposure] == ["0.85", "0.7", "0.55", "0.4", "0.25"]
    assert {row["reached"] for row in exposure} == {""}
    for row in rows:
        if row["mode"] == "ssim":
            assert row["reached"] in ("yes", "no")
    assert "grid_pattern" in shown and "0.85 (" in shown
    with Image.open(out / "grid_pattern.png") as strip:
        assert strip.width > 6 * 64 and strip.height > 48


def test_a_second_run_takes_the_parameters_of_the_first(picture: Path, tmp_path: Path) -> None:
    options = ("--perturbation", "jpeg", "--out", str(tmp_path / "out"))
    first = show(picture, *options)
    kept = json.loads((tmp_path / "out/calibrations.json").read_text())
    assert len(kept) == 1
    assert show(picture, *options) == first
    assert show(picture, *options, "--mode", "table") != first


def test_an_unknown_perturbation_and_a_file_that_cannot_be_used_are_named(picture: Path, tmp_path: Path) -> None:
    arguments = ["show", str(picture), "--perturbation", "fog", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(robust, arguments)
    assert done.exit_code == 2 and "'fog' is not a perturbation. Name one of gaussian_noise" in done.output
    synthetic(400, 5).save(picture)
    with pytest.raises(InputError, match=r"scan\.png has 400 x 5 pixels\. Enlarge it to 16 x 16"):
        show(picture, "--out", str(tmp_path / "out"))
    picture.write_text("no picture")
    with pytest.raises(InputError, match=r"scan\.png: the file is not a readable image\. Name a picture"):
        show(picture, "--out", str(tmp_path / "out"))


def test_a_missing_package_names_its_extra(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("severity", "perturbed", "showing"):
        monkeypatch.delitem(sys.modules, f"mevlip_validation.perturbations.{name}", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(EnvironmentProblem, match=r"Perturbations need skimage.*pip install 'me-vlip\[robust\]'"):
        show(picture, "--out", str(tmp_path / "out"))
