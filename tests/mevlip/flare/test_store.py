from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core import archives
from mevlip.core.files import file_sha256
from mevlip.flare import store as store_module
from mevlip.flare.frames.base import Frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.pixels import ImageError, fit_pixel_budget
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore, measure_appearance
from tests.conftest import HANG, ROOT
from tests.mevlip.flare.pixels import COLOR, GRAY, orientation
from tests.training.data.conftest import paint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "Xray" / "set").mkdir(parents=True)
    return tmp_path / "in" / "Xray" / "set"


@pytest.fixture
def store(folder: Path) -> Iterator[ImageStore]:
    with ImageStore(folder.parents[1].resolve()) as opened:
        yield opened


def asked(folder: Path) -> Question:
    return Question(0, "Xray/set/set_questions_train.json", 0, {}, folder)


def archive(folder: Path, name: str, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as opened:
        for member, content in members.items():
            opened.writestr(member, content)


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    return paint(tmp_path / "picture.png").read_bytes()


def test_a_file_in_a_folder_is_given_as_it_is(folder: Path, store: ImageStore) -> None:
    path = paint(folder / "imagesTr" / "1.png")
    with store.file(asked(folder), "imagesTr/1.png") as given:
        assert given.samefile(path)
    facts = store.facts(asked(folder), "imagesTr/1.png")
    assert (facts.size, facts.plain) == ((40, 30), True)
    assert facts.sha256 == file_sha256(path)


@pytest.mark.parametrize("member", ["imagesTr/1.png", "1.png", "./imagesTr/1.png"])
def test_an_archived_file_is_found_with_and_without_its_folder(
    folder: Path, store: ImageStore, picture: bytes, member: str
) -> None:
    archive(folder, "imagesTr.zip", {member: picture})
    before = sorted(folder.rglob("*"))
    with store.file(asked(folder), "imagesTr/1.png") as given:
        assert given.read_bytes() == picture
        assert not given.is_relative_to(folder)
    assert not given.exists(), "what was unpacked is gone after use"
    assert store.facts(asked(folder), "imagesTr/1.png").size == (40, 30)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("place", "member"),
    [
        ("imagesTr.zip", "scans/imagesTr/1.png"),
        ("imagesTr.zip", "scans/1.png"),
        ("imagesTr/part1.zip", "1.png"),
        ("imagesTr/part1.zip", "imagesTr/1.png"),
        ("packed/imagesTr.zip", "1.png"),
        ("packed/imagesTr.zip", "scans/imagesTr/1.png"),
        ("../set.zip", "imagesTr/1.png"),
        ("../set.zip", "set/imagesTr/1.png"),
        ("../set.zip", "set/1.png"),
        ("../set.zip", "1.png"),
        ("../all.zip", "set/imagesTr/1.png"),
    ],
)
def test_an_archive_one_level_off_is_opened(
    folder: Path, store: ImageStore, picture: bytes, place: str, member: str
) -> None:
    (folder / place).parent.mkdir(exist_ok=True)
    archive((folder / place).parent, Path(place).name, {member: picture, f"__MACOSX/._{member}": b"notes"})
    for name in ("imagesTr/1.png", "imagesVal/1.png"):
        assert store.facts(asked(folder), name).size == (40, 30)


@pytest.mark.parametrize(
    ("place", "members"),
    [
        ("imagesTr.zip", ["one/imagesTr/1.png", "two/imagesTr/1.png"]),
        ("imagesTr.zip", ["one/1.png", "2.png"]),
        ("../all.zip", ["imagesTr/1.png"]),
        ("../all.zip", ["other/imagesTr/1.png", "set"]),
        ("other/imagesTr.zip", ["1.png"]),
        ("../../set.zip", ["imagesTr/1.png"]),
    ],
    ids=["several folders", "one folder of several", "no name", "another's", "another's folder", "two levels up"],
)
def test_images_that_may_be_another_data_sets_are_not_taken(
    folder: Path, store: ImageStore, picture: bytes, place: str, members: list[str]
) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "other_questions_train.json").write_text("[]")
    archive((folder / place).parent, Path(place).name, dict.fromkeys(members, picture))
    with pytest.raises(ImageError, match="not found beside its question file"):
        store.facts(asked(folder), "imagesTr/1.png")


def test_nothing_beside_the_input_folder_is_opened(tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "in").mkdir()
    archive(tmp_path, "in.zip", {"imagesTr/1.png": picture})
    with ImageStore(tmp_path.resolve() / "in") as opened, pytest.raises(ImageError, match="not found"):
        opened.facts(asked(tmp_path.resolve() / "in"), "imagesTr/1.png")


def test_the_archive_that_a_name_asks_for_wins(folder: Path, store: ImageStore) -> None:
    archive(folder, "imagesTr.zip", {"1.png": b"training"})
    archive(folder, "imagesVal.zip", {"1.png": b"validation"})
    for name, content in (("imagesVal/1.png", b"validation"), ("imagesTr/1.png", b"training")):
        with store.file(asked(folder), name) as given:
            assert given.read_bytes() == content


@pytest.mark.parametrize("name", ["../1.png", "/1.png", "C:/1.png", "imagesTr/../../1.png", ""])
def test_names_that_climb_are_refused_in_archives_too(
    folder: Path, store: ImageStore, picture: bytes, name: str
) -> None:
    archive(folder, "imagesTr.zip", {"../1.png": picture, "/1.png": picture, "C:/1.png": picture})
    with pytest.raises(ImageError), store.file(asked(folder), name):
        pass
    with pytest.raises(ImageError, match="not found"), store.file(asked(folder), "1.png"):
        pass


def test_a_bomb_is_not_unpacked(
    folder: Path, store: ImageStore, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_BYTES", len(picture) - 1)
    archive(folder, "imagesTr.zip", {"1.png": picture})
    with pytest.raises(ImageError, match="larger than the allowed"):
        store.facts(asked(folder), "imagesTr/1.png")


def test_broken_archives_and_members_are_image_errors(folder: Path, store: ImageStore, picture: bytes) -> None:
    (folder / "imagesVal.zip").write_bytes(b"no archive")
    archive(folder, "imagesTr.zip", {"1.png": picture})
    content = bytearray((folder / "imagesTr.zip").read_bytes())
    content[45] ^= 0xFF
    (folder / "imagesTr.zip").write_bytes(content)
    for _ in range(2):
        with pytest.raises(ImageError, match="cannot be unpacked"):
            store.facts(asked(folder), "imagesTr/1.png")


def test_an_unreadable_file_is_an_image_error(folder: Path, store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(folder / "imagesTr" / "1.png")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        store.facts(asked(folder), "imagesTr/1.png")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path | bytes]:
    """What is decoded from now on, in order."""
    decoded: list[Path | bytes] = []

    def decode(content: Path | bytes) -> AbstractContextManager[Frames]:
        decoded.append(content)
        return open_frames(content)

    monkeypatch.setattr(store_module, "open_frames", decode)
    return decoded


def test_each_file_is_decoded_once_whatever_its_names(
    folder: Path, store: ImageStore, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(folder / "imagesTr" / "1.png")
    (folder / "imagesTr" / "broken.png").write_bytes(b"no picture")
    archive(folder, "imagesVal.zip", {"2.png": picture})
    decoded = counted(monkeypatch)
    for name in ("imagesTr/1.png", "imagesVal/1.png", "imagesTr/1.png", "imagesVal/2.png", "imagesTs/2.png"):
        assert store.facts(asked(folder), name).size == (40, 30)
    for _ in range(2):
        with pytest.raises(ImageError, match="not a readable image"):
            store.facts(asked(folder), "imagesTr/broken.png")
    assert decoded == [folder / "imagesTr" / "1.png", picture, folder / "imagesTr" / "broken.png"]
    assert store.place(asked(folder), "imagesVal/2.png") == store.place(asked(folder), "imagesTs/2.png")


def test_images_are_decoded_from_folders_and_archives_alike(folder: Path, store: ImageStore) -> None:
    path = folder / "imagesTr" / "deep.tif"
    path.parent.mkdir()
    Image.fromarray(GRAY.astype(np.uint16) * 100).save(path)
    archive(folder, "imagesVal.zip", {"packed.tif": path.read_bytes()})
    one, two = (store.image(asked(folder), name) for name in ("imagesTr/deep.tif", "imagesVal/packed.tif"))
    assert one.mode == "RGB" and np.array_equal(np.asarray(one), np.asarray(two))
    facts = store.facts(asked(folder), "imagesVal/packed.tif")
    assert facts == store.facts(asked(folder), "imagesTr/deep.tif") and not facts.plain


def test_one_bad_view_leaves_the_others(folder: Path, store: ImageStore, picture: bytes) -> None:
    paint(folder / "a.png")
    (folder / "b.png").touch()
    archive(folder, "images.zip", {"c.png": picture, "d.png": b"no picture"})
    names = ["a.png", "b.png", "c.png", "d.png", "e.png"]
    loaded = store.load(Question(0, "q.json", 0, {"ImageName": names}, folder), ImageSettings(max_count=5))
    assert len(loaded.images) == 2
    assert [problem.split(":")[0] for problem in loaded.problems] == [f"image {f'{n}.png'!r}" for n in "bde"]
    assert len(store.load(Question(0, "q.json", 0, {"ImageName": ["a.png"] * 9}, folder), ImageSettings()).images) == 4
    assert store.load(asked(folder), ImageSettings()).problems == ("the record's ImageName names no image",)


def test_the_state_changes_with_the_file(folder: Path, picture: bytes) -> None:
    def states() -> list[str]:
        with ImageStore(folder.parents[1].resolve()) as opened:
            return [opened.state(asked(folder), name) for name in ("imagesTr/1.png", "imagesVal/2.png")]

    paint(folder / "imagesTr" / "1.png")
    archive(folder, "imagesVal.zip", {"2.png": picture})
    before = states()
    assert states() == before
    paint(folder / "imagesTr" / "1.png", 1, (50, 30))
    archive(folder, "imagesVal.zip", {"2.png": picture[:-1] + b"x"})
    assert all(new != old for new, old in zip(states(), before, strict=True))
    with pytest.raises(ImageError), ImageStore(folder.parents[1].resolve()) as opened:
        opened.state(asked(folder), "imagesTr/absent.png")


def test_archives_outside_the_folder_and_pipes_stay_closed(
    tmp_path: Path, folder: Path, store: ImageStore, picture: bytes
) -> None:
    archive(tmp_path, "outside.zip", {"1.png": picture})
    (folder / "imagesTr.zip").symlink_to(tmp_path / "outside.zip")
    os.mkfifo(folder / "imagesVal.zip")
    with pytest.raises(ImageError, match="not found"):
        store.facts(asked(folder), "imagesTr/1.png")


def test_nothing_is_opened_or_made_before_it_is_needed(
    folder: Path, store: ImageStore, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    paint(folder / "imagesTr" / "1.png")
    archive(folder, "imagesVal.zip", {"2.png": picture})
    monkeypatch.setattr(store_module.tempfile, "TemporaryDirectory", refuse)
    store.image(asked(folder), "imagesVal/2.png")
    monkeypatch.setattr(store_module.zipfile, "ZipFile", refuse)
    with ImageStore(folder.parents[1].resolve()) as another:
        another.facts(asked(folder), "imagesTr/1.png")
        another.state(asked(folder), "imagesTr/1.png")


def test_the_appearance_is_measured() -> None:
    flat = measure_appearance(Image.new("RGB", (8, 6), (1, 2, 3)))
    assert (flat.color, flat.spread, flat.colored) == ((1, 2, 3), 0.0, 0.0)
    mixed = measure_appearance(Image.fromarray(COLOR))
    assert mixed.color is None
    assert mixed.spread == pytest.approx(COLOR.mean(axis=2).std())
    assert mixed.colored == pytest.approx((np.ptp(COLOR.astype(int), axis=2) > 24).mean())


def claim(path: Path, real: int, claimed: int) -> None:
    """Lets an archive's directory and local header claim another unpacked size."""
    content = path.read_bytes()
    assert content.count(struct.pack("<I", real)) >= 2
    path.write_bytes(content.replace(struct.pack("<I", real), struct.pack("<I", claimed)))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_claims_less_than_it_unpacks_to_takes_no_memory(
    folder: Path, store: ImageStore, method: int
) -> None:
    size = (1 << 26) + 12345
    with zipfile.ZipFile(folder / "imagesTr.zip", "w", method) as packed:
        packed.writestr("1.png", bytes(size))
    claim(folder / "imagesTr.zip", size, 1000)
    tracemalloc.start()
    with pytest.raises(ImageError, match="cannot be unpacked|another method"):
        store.facts(asked(folder), "imagesTr/1.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


def test_a_directory_larger_than_allowed_is_not_read(
    folder: Path, store: ImageStore, picture: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive(folder, "imagesTr.zip", {f"{n}.png": b"x" for n in range(99)})
    archive(folder, "imagesVal.zip", {"1.png": picture})
    monkeypatch.setattr(archives._Directory, "most", 1000)
    with pytest.raises(ImageError, match="not found"):
        store.facts(asked(folder), "imagesTr/5.png")
    assert "imagesTr.zip: is not a readable archive (its directory has more than" in caplog.text
    assert store.facts(asked(folder), "imagesVal/1.png").size == (40, 30), "other archives are read"


def test_an_archive_that_is_a_pipe_is_named(folder: Path, store: ImageStore, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(folder / "imagesTr.zip")
    with pytest.raises(ImageError, match="not found"):
        store.facts(asked(folder), "imagesTr/1.png")
    assert "imagesTr.zip: is a named pipe, not a regular file" in caplog.text


def test_an_image_file_larger_than_allowed_is_not_opened(folder: Path, store: ImageStore) -> None:
    paint(folder / "1.png")
    os.truncate(folder / "1.png", 1 << 30)
    for read in (store.facts, store.image):
        with pytest.raises(ImageError, match="is larger than the allowed 512 MiB"):
            read(asked(folder), "1.png")


def test_images_are_fitted_one_by_one_and_their_own_sizes_stay_known(
    folder: Path, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the full-size pictures only the one being fitted is alive."""
    names = ["0.png", "1.png", "stack.npy"]
    for name in names[:2]:
        Image.new("RGB", (400, 300)).save(folder / name)
    np.save(folder / "stack.npy", np.zeros((9, 300, 400), np.uint8))
    seen: list[weakref.ref[Image.Image]] = []
    most = 0

    def watch(image: Image.Image, least: int, greatest: int) -> Image.Image:
        nonlocal most
        seen.append(weakref.ref(image))
        most = max(most, sum(one() is not None for one in seen))
        return fit_pixel_budget(image, least, greatest)

    monkeypatch.setattr("mevlip.flare.images.fit_pixel_budget", watch)
    question = Question(0, "q.json", 0, {"ImageName": names}, folder)
    loaded = store.load(question, ImageSettings(max_pixels=10_000))
    assert most == 1 and len(seen) == 5
    assert loaded.sizes == ((400, 300),) * 5
    assert {image.size for image in loaded.images} == {(115, 86)}


_LOAD = """
import re, sys
from pathlib import Path
from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
folder, names = Path(sys.argv[1]), sys.argv[2:]
with ImageStore(folder) as store:
    def load(names):
        loaded = store.load(Question(0, "q", 0, {"ImageName": names}, folder), ImageSettings())
        assert not loaded.problems, loaded.problems
        # Not getrusage: what that says of a new process begins with its parent's memory.
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    before = load(["small.png"])  # with all that Pillow and numpy load
    print(load(names) - before)
"""


@pytest.mark.parametrize(
    ("kind", "mode", "options", "copies"),
    [
        ("PNG", "RGB", {}, 1), ("JPEG", "RGB", {}, 1), ("TIFF", "RGB", {"compression": "tiff_lzw"}, 1),
        ("PNG", "RGBA", {}, 2), ("PNG", "I;16", {}, 1.5), ("JPEG", "CMYK", {}, 2),
        ("PNG", "P", {"transparency": 3}, 1.25), ("JPEG", "RGB", {"exif": orientation(6)}, 2),
    ],
)  # fmt: skip
def test_four_large_images_take_the_memory_of_one(
    folder: Path, kind: str, mode: str, options: dict[str, Any], copies: float
) -> None:
    side = 3000
    ramp = np.add.outer(np.arange(side), np.arange(side))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16))
    else:
        image = Image.fromarray((ramp // 16 % 256).astype(np.uint8)).convert(mode)
    names = [f"{n}.img" for n in range(4)]
    image.save(folder / names[0], kind, **options)
    for name in names[1:]:
        os.link(folder / names[0], folder / name)
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(folder / "small.png")
    command = [sys.executable, "-c", _LOAD, str(folder.resolve()), *names]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "submission")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment, check=True)
    of_one = side * side * 4 / 2**20
    assert float(done.stdout) < copies * of_one + 34, "and what strips of it and its file take"
