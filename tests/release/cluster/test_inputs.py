"""Copying an input from an address: all of it, once, and nothing outside the folder."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.flare.questions import read_input_folder
from mevlip_release.cluster.inputs import copy_input, is_address
from tests.conftest import EXAMPLES


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.rm("/", recursive=True)
    yield system
    system.rm("/", recursive=True)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_what_is_an_address() -> None:
    assert all(map(is_address, ("s3://bucket/in", "file:///data", "memory://in", "simplecache::s3://b/in")))
    assert not any(map(is_address, ("in", "/data/in", "C:\\data", "a:b")))


def test_a_folder_is_copied_whole_from_a_local_address_and_from_memory(tmp_path: Path, memory: Any) -> None:
    memory.put(f"{EXAMPLES}/", "/bucket/in/", recursive=True)
    for address in (EXAMPLES.as_uri(), "memory://bucket/in"):
        target = copy_input(address, tmp_path / address[:4])
        assert files(target) == files(EXAMPLES)
        copied = [question.record for question in read_input_folder(target).questions]
        assert copied == [question.record for question in read_input_folder(EXAMPLES).questions]


def test_only_what_changed_is_copied_again_and_what_is_gone_goes(tmp_path: Path, memory: Any) -> None:
    for name in ("kept", "changed", "gone"):
        memory.pipe(f"/in/set/{name}", name.encode())
    target = copy_input("memory://in", tmp_path / "in")
    times = {path.name: path.stat().st_mtime_ns for path in target.rglob("*")}
    memory.pipe("/in/set/changed", b"other")
    memory.rm("/in/set/gone")
    assert files(copy_input("memory://in", target)) == {"set/kept": b"kept", "set/changed": b"other"}
    again = {path.name: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert again["kept"] == times["kept"] and again["changed"] > times["changed"], (
        "a journal knows a picture by its time"
    )


class Hostile:
    """A file system whose names are not those of files."""

    names = ("in/../../escaped", "in/a/../../../escaped", "in//x", "in/" + "n" * 256, "in/a\0b", "in/./x", "in/.hidden")

    def find(self, start: str, detail: bool) -> dict[str, dict[str, Any]]:
        return {name: {"size": 1} for name in (*self.names, "in/good")}

    def open(self, name: str, mode: str) -> Any:
        import io

        return io.BytesIO(name.encode())


def test_no_name_leaves_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda address: (Hostile(), "in"))
    target = copy_input("evil://in", tmp_path / "deep/in")
    assert files(tmp_path) == {"deep/in/good": b"in/good"} and target == tmp_path / "deep/in"
    assert caplog.text.count("is left out: not a name for a file") == 6


def test_an_address_without_files_is_no_input(tmp_path: Path, memory: Any) -> None:
    with pytest.raises(InputError, match="No file was found below memory://nothing"):
        copy_input("memory://nothing", tmp_path / "in")


def test_a_disk_without_room_is_named_before_anything_is_copied(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/in/a", b"12345")
    usage = namedtuple("usage", "total used free")(9, 5, 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(EnvironmentProblem, match="Free space on the disk"):
        copy_input("memory://in", tmp_path / "in")
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere://x", "nowhere://x cannot be read .*Protocol not known: nowhere.*Check the address"),
        ("file:///no/such/folder", "No file was found below"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_line(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises((EnvironmentProblem, InputError), match=message):
        copy_input(address, tmp_path / "in")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(EnvironmentProblem, match="Install s3fs to access S3.*Install that package"):
        copy_input("s3://bucket/in", tmp_path / "in")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(EnvironmentProblem, match=r"fsspec is not installed.*pip install 'me-vlip\[cluster\]'"):
        copy_input("s3://bucket/in", tmp_path / "in")
