"""Files are hashed while their owner goes on, and once only for whoever asks for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints import verification
from mevlip.checkpoints.checkpoint import begin_verification, read_checkpoint, read_manifest
from mevlip.checkpoints.verification import Stamp, Verification
from mevlip.checkpoints.verified import read_verified, write_verified
from mevlip.core.errors import CheckpointError
from mevlip.core.files import file_sha256
from tests.conftest import DEMO, HANG, ROOT

DIGEST = "0" * 64
WEIGHTS = "adapters/detection/adapter_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "copy"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def flip(path: Path) -> None:
    """Changes a file's last byte, and puts the time of its last writing back."""
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_weights_are_hashed_after_it_has_begun_and_all_else_before(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    go_on = threading.Event()

    def slow(path: Path, advance: Callable[[int], object]) -> str:
        if path.suffix == ".safetensors":
            assert go_on.wait(HANG)
        hashed.append(path.relative_to(copy).as_posix())
        return file_sha256(path, advance)

    monkeypatch.setattr(verification, "file_sha256", slow)
    manifest, _ = read_manifest(copy)
    begun = begin_verification(copy, manifest)
    assert sorted(hashed) == sorted(name for name in manifest.files if not name.endswith(".safetensors"))
    assert not begun.failed
    go_on.set()
    sizes: list[int] = []
    files = begun.wait(sizes.append)
    assert sorted(hashed) == sorted(files) == sorted(manifest.files)
    assert sum(sizes) == manifest.size == sum(one.size for one in files.values())


@pytest.mark.parametrize("order", [("counting", "detection"), ("detection", "counting")])
def test_of_two_damaged_files_the_same_is_named_whichever_is_hashed_first(
    copy: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    first_is_hashed = threading.Event()

    def in_order(path: Path, advance: Callable[[int], object]) -> str:
        adapter = path.parent.name
        if path.suffix == ".safetensors" and adapter == order[1]:
            assert first_is_hashed.wait(HANG)
        found = file_sha256(path, advance)
        if path.suffix == ".safetensors" and adapter == order[0]:
            first_is_hashed.set()
        return found

    for adapter in order:
        flip(copy / "adapters" / adapter / "adapter_model.safetensors")
    monkeypatch.setattr(verification, "file_sha256", in_order)
    with pytest.raises(CheckpointError, match="adapter 'counting': .* fails its checksum"):
        begin_verification(copy, read_manifest(copy)[0]).wait()


def test_sizes_are_compared_before_anything_is_hashed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> str:
        raise AssertionError("nothing is hashed")

    monkeypatch.setattr(verification, "file_sha256", never)
    with (copy / WEIGHTS).open("ab") as file:
        file.write(b"x")
    manifest, _ = read_manifest(copy)
    known = {name: Stamp.of(copy / name) for name in manifest.files}
    with pytest.raises(CheckpointError, match="bytes instead of"):
        begin_verification(copy, manifest, known)


def test_a_program_that_ends_does_not_wait_for_the_hashing(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mevlip.checkpoints.verification import Verification\n"
        "with Path(sys.argv[1], 'a.safetensors').open('wb') as file:\n"
        "    file.truncate(1 << 42)\n"  # a hole; to hash it takes hours
        "begun = Verification(Path(sys.argv[1]), {'a.safetensors': '0' * 64}, {})\n"
        "sys.exit(7)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, timeout=HANG, check=False, cwd=ROOT, capture_output=True).returncode == 7


def test_hashing_stops_when_it_is_no_longer_wanted(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 42)
    begun = Verification(tmp_path, {"a": DIGEST}, {})

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun.wait(interrupt)
    for thread in threading.enumerate():
        if thread.name.startswith("verify"):
            thread.join(HANG)
            assert not thread.is_alive()


def stamps(folder: Path) -> dict[str, Stamp]:
    return {name: Stamp.of(folder / name) for name in read_manifest(folder)[0].files}


def hashed_files(folder: Path, known: dict[str, Stamp]) -> list[str]:
    files = begin_verification(folder, read_manifest(folder)[0], known).wait()
    return sorted(name for name, one in files.items() if one.hashed)


def test_only_changed_files_are_hashed(copy: Path) -> None:
    known = stamps(copy)
    assert hashed_files(copy, known) == []
    (copy / WEIGHTS).touch()
    assert hashed_files(copy, known) == [WEIGHTS]
    assert hashed_files(copy, {}) == sorted(known)


def exchange(path: Path) -> None:
    shutil.copy2(path, path.with_name(".other"))
    path.with_name(".other").replace(path)


@pytest.mark.parametrize("change", [flip, exchange, Path.touch, lambda path: path.chmod(0o640)])
def test_a_file_that_was_touched_in_any_way_is_hashed_again(copy: Path, change: Callable[[Path], None]) -> None:
    known = stamps(copy)
    change(copy / WEIGHTS)
    if change is flip:
        assert (copy / WEIGHTS).stat().st_mtime_ns == known[WEIGHTS].modified
        with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
            hashed_files(copy, known)
    else:
        assert hashed_files(copy, known) == [WEIGHTS]


def test_a_file_just_written_is_not_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the clock of the file system has gone on, it may be written again without another time."""
    (tmp_path / "a").write_text("x")
    checksums = {"a": file_sha256(tmp_path / "a")}
    monkeypatch.setattr("time.time_ns", lambda: Stamp.of(tmp_path / "a").changed + 10**9)
    assert Verification(tmp_path, checksums, {}).wait()["a"].stamp is None
    monkeypatch.setattr("time.time_ns", lambda: Stamp.of(tmp_path / "a").changed + 10**10)
    assert Verification(tmp_path, checksums, {}).wait()["a"].stamp == Stamp.of(tmp_path / "a")


def test_a_file_written_while_it_is_hashed_is_not_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(path: Path, advance: Callable[[int], object]) -> str:
        found = file_sha256(path, advance)
        os.utime(path, ns=(1, 1))
        return found

    (tmp_path / "a").write_text("x")
    checksums = {"a": file_sha256(tmp_path / "a")}
    monkeypatch.setattr(verification, "file_sha256", touched)
    monkeypatch.setattr(verification, "_SETTLED_NS", -(10**12))
    assert Verification(tmp_path, checksums, {}).wait()["a"].stamp is None


def only_file(cache: Path) -> Path:
    [path] = (cache / "mevlip").iterdir()
    return path


def test_a_record_is_this_users_alone_and_comes_back(cache: Path) -> None:
    known = stamps(DEMO)
    write_verified(DEMO, DIGEST, known)
    assert only_file(cache).stat().st_mode & 0o777 == 0o600
    assert only_file(cache).parent.stat().st_mode & 0o777 == 0o700
    assert read_verified(DEMO, DIGEST) == known
    assert read_verified(DEMO, "1" * 64) == {} == read_verified(DEMO / "base", DIGEST)


def test_a_record_of_another_checkpoint_is_not_used(cache: Path) -> None:
    write_verified(DEMO, DIGEST, stamps(DEMO))
    content = only_file(cache).read_bytes()
    write_verified(DEMO / "base", DIGEST, {})
    for path in (cache / "mevlip").iterdir():
        path.write_bytes(content)
    assert read_verified(DEMO / "base", DIGEST) == {}


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.just(b"[" * 100_000))
def test_a_damaged_record_is_not_used(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        write_verified(DEMO, DIGEST, stamps(DEMO))
        only_file(cache).write_bytes(content)
        assert read_verified(DEMO, DIGEST) == {}


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), "utf-8")


SPOILED: dict[str, Callable[[Path], object]] = {
    "of another version": lambda path: edit(path, version=2),
    "of another manifest": lambda path: edit(path, manifest="1" * 64),
    "with a stamp cut short": lambda path: edit(path, files={WEIGHTS: [1, 2, 3]}),
    "with too much": lambda path: edit(path, surprise=1),
    "writable by others": lambda path: path.chmod(0o620),
    "in an open folder": lambda path: path.parent.chmod(0o777),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    "a folder": lambda path: (path.unlink(), path.mkdir(0o700)),
    "too large": lambda path: os.truncate(path, 1 << 40),
    "in a linked folder": lambda path: (
        path.parent.parent.joinpath("mevlip")
        .rename(path.parent.parent / "real")
        .parent.joinpath("mevlip")
        .symlink_to(path.parent.parent / "real")
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_record_that_cannot_be_trusted_is_not_used(
    cache: Path, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    write_verified(DEMO, DIGEST, stamps(DEMO))
    spoil(only_file(cache))
    assert read_verified(DEMO, DIGEST) == {}
    assert "the record of verified files is not used" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("level", ["file", "folder"])
def test_another_users_record_is_not_used(cache: Path, level: str) -> None:
    write_verified(DEMO, DIGEST, stamps(DEMO))
    path = only_file(cache)
    os.chown(path if level == "file" else path.parent, 12345, -1)
    assert read_verified(DEMO, DIGEST) == {}


@pytest.mark.parametrize("place", ["a file", "/proc/self", "no home"])
def test_no_place_for_a_record_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", {"a file": str(tmp_path / "file"), "no home": "relative"}.get(place, place))

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with caplog.at_level("INFO"):
        write_verified(DEMO, DIGEST, stamps(DEMO))
    assert "cannot be written" in caplog.text
    assert read_verified(DEMO, DIGEST) == {}


def test_the_record_lies_below_the_home_folder_where_nothing_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoint = read_checkpoint(DEMO)
    write_verified(checkpoint.folder, checkpoint.digest, stamps(DEMO))
    assert only_file(tmp_path / ".cache").name.startswith("verified-")
