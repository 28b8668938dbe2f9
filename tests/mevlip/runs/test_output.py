from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.locks import LOCK_NAME
from mevlip.runs.output import check_destination, output_folder
from tests.conftest import HANG, ROOT


def run_holding(folder: Path, action: str) -> subprocess.Popen[str]:
    """Starts a process that does something while it holds the folder."""
    code = (
        "import os, sys; from pathlib import Path; from mevlip.runs.output import output_folder\n"
        f"with output_folder(Path(sys.argv[1])): {action}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "submission")}
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


def test_the_folder_is_made_and_left_without_a_lock(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a/b"):
        assert (tmp_path / "a/b").is_dir()
        lock = (tmp_path / "a/b" / LOCK_NAME).stat()
        assert lock.st_mode & 0o777 == 0o666, "another user's run can take over what a killed one left"
    assert list((tmp_path / "a/b").iterdir()) == []


def test_a_second_run_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with run_holding(tmp_path, "print('held', flush=True); sys.stdin.read()") as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(EnvironmentProblem, match="Another run is writing into"), output_folder(tmp_path):
            pytest.fail("the folder is held")
        first.communicate("", timeout=HANG)
    assert first.returncode == 0
    with output_folder(tmp_path):
        assert True


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with run_holding(tmp_path, "os.kill(os.getpid(), 9)") as killed:
        assert killed.wait(HANG) == -9
    (tmp_path / ".predictions.json.77.tmp").touch()
    (tmp_path / ".mevlip-journal-01234567.tmp").touch()
    (tmp_path / "mine.tmp").touch()
    with output_folder(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".mevlip-lock", "mine.tmp"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tmp"]


def test_an_output_folder_that_is_a_file_or_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "loop"):
        with pytest.raises(EnvironmentProblem, match=f"{name} cannot be written"), output_folder(tmp_path / name):
            pytest.fail("the folder should have been refused")


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import errno

    def unlockable(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("filelock.FileLock.acquire", unlockable)
    with output_folder(tmp_path):
        assert "start no second run there" in caplog.text


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("in/sub", "out"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "in/x_questions_val.json").write_text("[]")
    return tmp_path / "in", tmp_path / "out"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("out/predictions.json", "is the run's own file"),
        ("out/.mevlip-journal-01234567.jsonl", "is the run's own file"),
        ("in/x_questions_val.json", "lies in the input folder"),
        ("in/new.jsonl", "lies in the input folder"),
        ("link/x_questions_val.json", "lies in the input folder"),
        ("thesis.txt", "exists and was not written by --explanations"),
        ("out", "Is a directory"),
        ("thesis.txt/e.jsonl", "cannot be written"),
    ],
)
def test_what_a_run_would_destroy_or_could_not_write_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, name: str, cause: str
) -> None:
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EnvironmentProblem, match=cause):
        check_destination(tmp_path / name, "--explanations", *folders)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["new/e.jsonl", "out/e.jsonl", "earlier.jsonl", "report.json", "empty", "/dev/stdout"])
def test_a_new_file_and_one_that_a_run_wrote_may_be_written(
    folders: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "earlier.jsonl").write_text('{"question": "a[0]", "images": []}\n')
    (tmp_path / "report.json").write_text('{\n "version": 1,\n')
    (tmp_path / "empty").touch()
    check_destination(tmp_path / name, "--explanations", *folders)


def test_a_file_may_lie_in_an_output_folder_inside_the_input_folder(tmp_path: Path) -> None:
    (tmp_path / "in/out").mkdir(parents=True)
    check_destination(tmp_path / "in/out/e.jsonl", "--explanations", tmp_path / "in", tmp_path / "in/out")
    with pytest.raises(EnvironmentProblem, match="lies in the input folder"):
        check_destination(tmp_path / "in/e.jsonl", "--explanations", tmp_path / "in", tmp_path / "in")
