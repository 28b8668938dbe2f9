from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import (
    atomic_file,
    draft_folder,
    file_sha256,
    link_or_copy,
    open_regular,
    read_bounded,
    whole_folder,
    write_text_atomically,
    writing,
)
from tests.conftest import ROOT


def write(out: Path, source: Path, content: str = "new") -> None:
    with whole_folder(out, "mark.json", source) as folder:
        assert not (out / "mark.json").exists() or (out / "mark.json").read_text() != content
        (folder / "mark.json").write_text(content)


def test_a_new_an_empty_and_an_own_folder_are_written(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "new", tmp_path / "in")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", tmp_path / "in")
    write(tmp_path / "empty", tmp_path / "in", "again")
    assert (tmp_path / "empty" / "mark.json").read_text() == "again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty"]


def test_a_foreign_folder_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    for out in (tmp_path / "foreign", tmp_path / "foreign" / "thesis.txt"):
        with pytest.raises(EnvironmentProblem, match="not written by this command"):
            write(out, tmp_path / "in")
    assert (tmp_path / "foreign" / "thesis.txt").read_text() == "precious"


def test_an_interrupted_run_leaves_the_old_folder_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "out", tmp_path / "in", "old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", "mark.json", tmp_path / "in") as folder:
        (folder / "mark.json").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "mark.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("out", "source"), [("a", "a"), ("a/b", "a"), ("a", "a/b")])
def test_the_input_is_never_overwritten(tmp_path: Path, out: str, source: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(EnvironmentProblem, match="within each other"):
        write(tmp_path / out, tmp_path / source)


def test_placing_links_and_copies_where_linking_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, other = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(b"one")
    other.write_bytes(b"two")
    link_or_copy(source, tmp_path / "x" / "linked.png")
    assert (tmp_path / "x" / "linked.png").samefile(source)
    with pytest.raises(FileExistsError):
        link_or_copy(other, tmp_path / "x" / "linked.png")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, tmp_path / "y" / "copied.png")
    assert not (tmp_path / "y" / "copied.png").samefile(source)
    assert (tmp_path / "y" / "copied.png").read_bytes() == source.read_bytes()


def test_a_draft_takes_the_files_place_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text_atomically(path, "old")
    with atomic_file(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as draft:
        draft.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text_atomically(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"


def test_a_device_is_written_and_never_replaced() -> None:
    write_text_atomically(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()
    code = "from pathlib import Path; from mevlip.core.files import *; write_text_atomically(Path('/dev/stdout'), 'x')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT / "submission").stdout == b"x"


@pytest.mark.parametrize("name", ["file/a.txt", "folder"])
def test_a_place_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentProblem, match=rf"{name} cannot be written \(.+\)\. Do this"):
        write_text_atomically(tmp_path / name, "x", "Do this.")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


def test_errors_without_a_reason_of_the_system_keep_their_text() -> None:
    with pytest.raises(EnvironmentProblem, match=r"It cannot be written \(just so\)"), writing("It"):
        raise OSError("just so")


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), writing("It"):
        raise ValueError("mine")


def test_a_folder_that_may_not_be_replaced_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with draft_folder(out, replace=False) as draft:
        (draft / "a").touch()
    with pytest.raises(OSError, match="not empty"), draft_folder(out, replace=False) as draft:
        (draft / "b").touch()
    assert [one.name for one in out.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [out]


def test_the_hash_reports_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 9_000_000)
    pieces: list[int] = []
    assert file_sha256(tmp_path / "a", pieces.append) == hashlib.sha256(b"x" * 9_000_000).hexdigest()
    assert pieces == [1 << 23, 9_000_000 - (1 << 23)]


@pytest.mark.timeout(60)
def test_only_regular_files_within_their_bound_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("plain")
    assert read_bounded(tmp_path / "plain", 5) == read_bounded(tmp_path / "link", 5, tmp_path.resolve()) == b"12345"
    os.mkfifo(tmp_path / "pipe")
    for path, limit, cause in (
        (tmp_path / "plain", 4, "is larger than the allowed"),
        (tmp_path / "pipe", 9, "is a named pipe, not a regular file"),
        (tmp_path, 9, "is a folder, not a regular file"),
        (Path("/dev/zero"), 9, "is a device, not a regular file"),
        (tmp_path / "absent", 9, "No such file"),
    ):
        with pytest.raises(OSError, match=cause) as caught:
            read_bounded(path, limit)
        assert caught.value.filename == str(path)


def test_a_link_may_not_leave_the_folder_it_is_read_from(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to("../outside")
    with pytest.raises(OSError, match="leaves the input folder"):
        read_bounded(tmp_path / "in/link", 99, (tmp_path / "in").resolve())


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What /proc shows: files that claim no bytes and hold more than allowed."""
    (tmp_path / "grows").write_bytes(b"123456")
    status = os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: status)
    with pytest.raises(OSError, match="is larger"):
        read_bounded(tmp_path / "grows", 5)


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    write_text_atomically(tmp_path / "loop", "new")
    assert (tmp_path / "loop").read_text() == "new" and not (tmp_path / "loop").is_symlink()


def test_a_reader_that_asks_for_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    """As Pillow does for a JPEG 2000 whose header claims four gigabytes."""
    (tmp_path / "small").write_bytes(b"12345")
    tracemalloc.start()
    with open_regular(tmp_path / "small", 1 << 40) as file:
        assert file.read(1 << 36) == b"12345"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22
