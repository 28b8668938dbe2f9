"""The wheel: one package of our own name each, and what it offers works without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import DEMO, EXAMPLES, HANG, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=HANG)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel unpacked as pip does; the packages that it needs come from this environment."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "mevlip", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=HANG, env=environment, check=False
    )


def test_its_packages_are_of_one_name_and_hold_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "mevlip", "mevlip_validation", "mevlip_training", "mevlip_release",
    }  # fmt: skip
    for needed in ("mevlip/flare/predictions.schema.json", "mevlip_training/demo/datasets.toml",
                   "mevlip_training/demo/overlay.yaml", "mevlip_training/cpu/sitecustomize.py",
                   "mevlip_training/recipes/paper.yaml", "mevlip_training/grpo/grpo.yaml",
                   "mevlip_release/deploy/templates/k8s.yaml", "mevlip_validation/report/report.html"):  # fmt: skip
        assert needed in names, needed


@pytest.mark.model
def test_it_predicts_checks_and_scores_without_the_repository(installed: Path, tmp_path: Path) -> None:
    code = "import mevlip, mevlip_validation; print(mevlip.__file__, mevlip_validation.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment, check=True, cwd=tmp_path
    )
    assert all(path.startswith(str(installed)) for path in done.stdout.split())
    done = run(installed, tmp_path, "predict", EXAMPLES, "out", "--checkpoint", DEMO)
    assert done.returncode == 0, done.stderr
    for command in (["predictions", "check", "out/predictions.json", "--input", EXAMPLES],
                    ["score", "out/predictions.json", "--truth", EXAMPLES]):  # fmt: skip
        done = run(installed, tmp_path, *command)
        assert done.returncode == 0, done.stderr


def test_what_needs_the_repository_says_so_in_one_line(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "image", "build", "--tag", "x:y", "--checkpoint", DEMO)
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert "building an image requires a checkout of the project" in line


def test_without_a_checkpoint_at_hand_its_place_is_asked_for(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "predict", EXAMPLES, "out")
    assert done.returncode == 3
    assert "Name its folder with --checkpoint" in done.stderr.splitlines()[-1]
