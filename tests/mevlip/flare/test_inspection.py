from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.flare.inspection import inspect_questions, summary
from mevlip.flare.issues import Issue, IssueCode
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from tests.conftest import EXAMPLES, record, run_mevlip


def inspect(root: Path) -> list[Issue]:
    folder = read_input_folder(root)
    with ImageStore(folder.root) as store:
        return inspect_questions(folder.questions, store, quiet=True)


def noise(width: int, height: int, gray: bool = True) -> Image.Image:
    rng = np.random.default_rng(width * height)
    values = rng.integers(0, 256, (height, width, 1 if gray else 3), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(values, (height, width, 3)).copy())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One of everything that is looked for, and a sound record."""
    target = tmp_path / "in/Xray/set"
    target.mkdir(parents=True)
    pictures = {
        "fine.png": noise(64, 64),
        "constant.png": Image.new("RGB", (64, 64), (7, 7, 7)),
        "blank.png": Image.fromarray(np.full((64, 64, 3), 200, np.uint8) + np.eye(64, dtype=np.uint8)[..., None]),
        "tiny.png": noise(64, 20),
        "extreme.png": noise(400, 64),
        "color.png": noise(60, 60, gray=False),
    }
    for name, picture in pictures.items():
        picture.save(target / name)
    (target / "copy.png").write_bytes((target / "fine.png").read_bytes())
    (target / "broken.png").write_bytes(b"no picture")
    records: list[dict[str, Any]] = [
        record(f"{name}? A: x, B: y", name) for name in (*pictures, "copy.png", "broken.png")
    ]
    records += [record("fine.png? A: x, B: y", "fine.png"), record("What is seen", "fine.png"), record(" ", "fine.png")]
    records += [record(image=[]), record(image="../../../outside.png")]
    (target / "set_questions_val.json").write_text(json.dumps(records))
    return tmp_path / "in"


def test_everything_that_is_looked_for_is_found_once(folder: Path) -> None:
    found = inspect(folder)
    about: dict[IssueCode, list[str]] = {}
    for one in found:
        about.setdefault(one.code, []).append(one.image or one.where.rsplit("/")[-1])
    assert about == {
        IssueCode.UNREADABLE_IMAGE: ["broken.png", "../../../outside.png"],
        IssueCode.SINGLE_COLOR: ["constant.png"],
        IssueCode.BLANK: ["blank.png"],
        IssueCode.TINY: ["tiny.png"],
        IssueCode.EXTREME_RATIO: ["extreme.png"],
        IssueCode.UNEXPECTED_COLOR: ["color.png"],
        IssueCode.SAME_IMAGE: ["copy.png"],
        IssueCode.NO_IMAGE: ["set_questions_val.json[11]"],
        IssueCode.NO_QUESTION: ["set_questions_val.json[10]"],
        IssueCode.NO_OPTIONS: ["set_questions_val.json[9]"],
        IssueCode.REPEATED_QUESTION: ["set_questions_val.json[8]"],
    }
    assert all(one.message for one in found)
    assert [row[0] for row in summary(found)] == [code.value for code in IssueCode if code in about]


def test_color_is_expected_elsewhere(folder: Path) -> None:
    (folder / "Xray").rename(folder / "Dermatology")
    path = folder / "Dermatology/set/set_questions_val.json"
    path.write_text(path.read_text().replace("X-ray", "Dermoscopy"))
    assert not [one for one in inspect(folder) if one.code is IssueCode.UNEXPECTED_COLOR]


def test_the_examples_raise_no_alarm() -> None:
    assert inspect(EXAMPLES) == []


def test_the_command_warns_and_succeeds(folder: Path, tmp_path: Path) -> None:
    done = run_mevlip("data", "check", folder, "--quiet", "--csv", tmp_path / "found.csv")
    assert done.returncode == 0, done.stderr
    assert "color where gray is expected" in done.stdout and done.stdout.endswith("13 questions, 12 issues\n")
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 13


def test_a_folder_without_questions_is_an_error(tmp_path: Path) -> None:
    done = run_mevlip("data", "check", tmp_path)
    assert done.returncode == 5 and "No question file" in done.stderr and "Traceback" not in done.stderr
