from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.predictor import Predictor
from mevlip_validation.cli.robust import robust
from tests.conftest import DEMO, EXAMPLES, call_mevlip
from tests.validation.perturbations.pictures import synthetic
from tests.validation.report.browser import needs_browser, open_page
from tests.validation.robustness.stubs import SeeingModel, WordRouter, see, write_folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    synthetic(64, 48, gray=True).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def show(picture: Path, *options: str) -> str:
    done = CliRunner().invoke(robust, ["show", str(picture), "--quiet", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


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


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> SeeingModel:
    """The model that commands of the test load."""
    model = SeeingModel(see)
    monkeypatch.setitem(Predictor.__init__.__kwdefaults__, "load_model", lambda *_: model)
    monkeypatch.setitem(Predictor.__init__.__kwdefaults__, "load_router", lambda *_: WordRouter())
    return model


def run(root: Path, out: Path, *options: str) -> Result:
    command = ["run", str(root), "--truth", str(root), "--checkpoint", str(DEMO), "--resamples", "20", "--quiet"]
    return CliRunner().invoke(robust, [*command, "--workers", "1", "--out", str(out), *options], catch_exceptions=False)


def test_losses_are_shown_and_written(seeing: SeeingModel, tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "in"), tmp_path / "out"
    options = ("--perturbations", "brightness, rotation,under_exposure", "--levels", "1,5", "--mode", "table")
    done = run(root, out, *options, "--report", str(tmp_path / "page.html"))
    assert done.exit_code == 0, done.output
    assert "PARTIAL" not in done.stdout and "routed over multi_task" in done.output
    content = json.loads((out / "results.json").read_text())
    assert content["systems"] == ["base", "multi_task", "routed"] and content["left"] == []
    rows = list(csv.DictReader((out / "cells.csv").open()))
    assert {row["perturbation"] for row in rows} == {"brightness", "rotation", "under_exposure"}
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3 and page.count("data:image/jpeg") == 3 and "under_exposure, xray (6)" in page
    asked = len(seeing.batches)
    assert run(root, out, *options).stdout == done.stdout.replace(f"page: {tmp_path}/page.html (0.2 MB)\n", "")
    assert len(seeing.batches) == asked, "a second run asks nothing"


@needs_browser
def test_the_page_opens_without_a_network(seeing: SeeingModel, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(write_folder(tmp_path / "in"), tmp_path / "out", "--perturbations", "jpeg", "--levels", "3", "--mode", "table",
        "--report", str(page))  # fmt: skip
    with open_page(page) as opened:
        assert [one for one in opened.complaints if not one.startswith(("file:", "data:"))] == []
        assert opened.locator("figure svg").count() == 3 and opened.locator("figure img").count() == 1
        assert opened.locator("figure img").evaluate("image => image.complete && image.naturalWidth > 900")


def test_names_that_are_none_are_refused_before_anything_is_asked(seeing: SeeingModel, tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "in"), tmp_path / "out"
    for options, message in {
        ("--levels", "1,6"): "'6' is none of 1, 2, 3, 4, 5",
        ("--systems", "best"): "'best' is none of base, multi_task, routed",
        ("--perturbations", "jpeg,fog"): "'fog' is not a perturbation",
    }.items():
        done = run(root, out, *options)
        assert done.exit_code == 2 and message in done.output
    assert not seeing.batches


@pytest.mark.model
@pytest.mark.usefixtures("loaded_once")
def test_the_demo_is_asked_about_perturbed_pictures(tmp_path: Path) -> None:
    part = EXAMPLES / "Mammography"
    done = call_mevlip(
        "robust", "run", part, "--truth", part, "--checkpoint", DEMO, "--device", "cpu", "--perturbations",
        "grid_pattern", "--levels", "5", "--sample", "2", "--resamples", "20", "--out", tmp_path, "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    content = json.loads((tmp_path / "results.json").read_text())
    reached = {one["perturbation"]: one["ssim"] for one in content["cells"] if one["system"] == "routed"}
    assert set(reached) == {"grid_pattern"} and 0.5 <= reached["grid_pattern"] <= 0.59
