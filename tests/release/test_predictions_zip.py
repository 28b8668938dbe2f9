from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem, OutputError
from mevlip_release.predictions_zip import write_predictions_zip
from tests.conftest import record, run_mevlip

Write = Callable[..., Path]


def test_the_zip_contains_only_the_predictions(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record()])
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([record(Answer="B")]))
    first, second = tmp_path / "a/one.zip", tmp_path / "two.zip"
    assert write_predictions_zip(path, root, first) == first.stat().st_size
    with zipfile.ZipFile(first) as packed:
        assert packed.namelist() == ["predictions.json"] and packed.read("predictions.json") == path.read_bytes()
    write_predictions_zip(path, root, second)
    assert first.read_bytes() == second.read_bytes(), "the same predictions give the same zip"


def test_invalid_predictions_are_not_zipped(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record()])
    (tmp_path / "p.json").write_text(json.dumps([record(Answer="")]))
    with pytest.raises(OutputError, match=r"is invalid \(issues: 1\), first: Answer"):
        write_predictions_zip(tmp_path / "p.json", root, tmp_path / "p.zip")
    assert not (tmp_path / "p.zip").exists()


def test_an_unwritable_target_is_reported(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record()])
    (tmp_path / "p.json").write_text(json.dumps([record(Answer="A")]))
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_predictions_zip(tmp_path / "p.json", root, tmp_path / "p.json/x.zip")


def test_the_command(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record()])
    (tmp_path / "p.json").write_text(json.dumps([record(Answer="A")]))
    done = run_mevlip("predictions", "zip", tmp_path / "p.json", "--input", root, "--out", tmp_path / "p.zip")
    assert done.returncode == 0 and done.stdout.startswith(f"{tmp_path}/p.zip: ")
    (tmp_path / "p.json").write_text("[]")
    done = run_mevlip("predictions", "zip", tmp_path / "p.json", "--input", root)
    assert done.returncode == 6 and "mevlip predictions check" in done.stderr
