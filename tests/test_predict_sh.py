"""predict.sh as an organizer calls it: by a POSIX shell, with two arguments or none, from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import HANG, ROOT, record

SHELL = shutil.which("dash") or "sh"
Write = Callable[..., Path]


def call(
    *arguments: str | Path, script: Path = ROOT / "predict.sh", **options: object
) -> subprocess.CompletedProcess[str]:
    command = [SHELL, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.model
def test_two_arguments_with_blanks_from_a_folder_of_which_nothing_is_imported(
    write_questions: Write, tmp_path: Path
) -> None:
    """From a folder with a package of its name, the script once ran that one and left with status 0."""
    write_questions([record()])
    (tmp_path / "in").rename(tmp_path / "my input")
    for foreign in ("submission/__init__.py", "submission/__main__.py", "mevlip/__init__.py", "mevlip/__main__.py",
                    "click.py", "torch.py"):  # fmt: skip
        (tmp_path / foreign).parent.mkdir(exist_ok=True)
        (tmp_path / foreign).write_text("import sys; sys.exit(0)\n")
    done = call("my input", "my output", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my output/predictions.json").is_file()


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A copy of predict.sh whose python only prints how it was called and leaves with status 7."""
    home = tmp_path / "app home"
    (home / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "predict.sh", home)
    python = home / ".venv/bin/python"
    python.write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; done\necho "path $PYTHONPATH"\nexit 7\n')
    python.chmod(0o755)
    return home / "predict.sh"


def test_no_arguments_mean_the_containers_mounts(recorder: Path) -> None:
    done = call(script=recorder)
    assert done.stdout.splitlines()[:7] == [
        "-P",
        "-m",
        "mevlip",
        "predict",
        "--",
        "/workspace/inputs",
        "/workspace/outputs",
    ]
    assert done.stdout.splitlines()[7] == f"path {recorder.parent}/submission"


def test_no_arguments_run_by_name_in_its_own_folder(recorder: Path) -> None:
    done = subprocess.run(
        [SHELL, "predict.sh"], cwd=recorder.parent, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert "/workspace/inputs" in done.stdout


def test_the_exit_status_is_passed_through(recorder: Path) -> None:
    assert call("a", "b", script=recorder).returncode == 7


def test_a_folder_that_looks_like_an_option_is_a_folder(recorder: Path) -> None:
    assert call("--quiet", "b", script=recorder).stdout.splitlines()[4:7] == ["--", "--quiet", "b"]


@pytest.mark.parametrize("count", [1, 3])
def test_other_numbers_of_arguments_are_wrong_usage(recorder: Path, count: int) -> None:
    done = call(*["x"] * count, script=recorder)
    assert done.returncode == 2 and done.stderr == "usage: predict.sh [INPUT OUTPUT]\n"


def test_without_a_virtual_environment_python3_is_taken(tmp_path: Path, write_questions: Write) -> None:
    shutil.copy(ROOT / "predict.sh", tmp_path)
    (tmp_path / "submission").symlink_to(ROOT / "submission")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = call(tmp_path / "absent", tmp_path / "out", script=tmp_path / "predict.sh", env=env)
    assert done.returncode == 5 and "does not exist" in done.stderr
