"""Which frames of a file a question shows, and pages of Pillow's formats."""

from __future__ import annotations

import gzip
import struct
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.frames.base import MAX_FRAMES, check_size, frame_indices, shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.given import load_given_images
from mevlip.flare.images import load_image
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import GivenImage, Question
from tests.mevlip.frame_files import dicom_path, film, gray, nifti, npy, pages, slices


def pictures(content: Path | bytes, *indices: int) -> list[np.ndarray]:
    with open_frames(content) as frames:
        return [np.asarray(one) for one in frames.pictures(indices or range(frames.count))]


def shown(*images: GivenImage, **settings: int) -> list[tuple[int, int, int]]:
    """The top left pixel of each picture that a question about them shows."""
    loaded = load_given_images(Question.given_as("What is it?", images), ImageSettings(**settings))  # type: ignore[arg-type]
    assert not loaded.problems and len(loaded.sizes) == len(loaded.images)
    return [one.getpixel((0, 0)) for one in loaded.images]  # type: ignore[misc]


def test_eleven_slices_of_32_are_the_published_ones() -> None:
    assert frame_indices(32, 11) == (0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 31)


@given(st.integers(1, 3000), st.integers(1, 64))
def test_frames_are_numpys_evenly_spaced_ones(count: int, limit: int) -> None:
    found = frame_indices(count, limit)
    assert len(found) == min(count, limit) == len(set(found))
    assert list(found) == sorted(found) and found[0] >= 0 and found[-1] < count
    if limit > 1:
        assert (found[0], found[-1]) == (0, count - 1)
        assert count <= limit or found == tuple(np.linspace(0, count - 1, limit, dtype=int))


def test_of_one_frame_the_middle_is_shown() -> None:
    assert frame_indices(32, 1) == (16,)


@given(st.integers(1, 64), st.integers(1, 64), st.lists(st.integers(1, 500), min_size=1, max_size=80))
def test_files_share_the_frames_of_a_route(frames: int, most: int, counts: list[int]) -> None:
    settings = ImageSettings(frames=frames, max_count=most)
    files = counts[:most]
    numbers = [len(shown_frames(count, settings, len(files))) for count in files]
    assert all(number >= 1 for number in numbers) and sum(numbers) <= max(frames, most)


def test_a_question_shows_the_frames_of_its_files_in_order() -> None:
    stack = npy(np.stack([np.full((32, 32), value, np.float32) for value in range(0, 256, 5)]))
    picture = Image.new("RGB", (32, 32), (1, 2, 3))
    assert len(shown(stack)) == 11 and shown(stack)[0] == (0, 0, 0) and shown(stack)[-1] == (255, 255, 255)
    assert shown(stack, frames=2) == [(0, 0, 0), (255, 255, 255)]
    assert shown(picture, stack, frames=4) == [(1, 2, 3), (0, 0, 0), (255, 255, 255)]
    assert len(shown(stack, stack, stack)) == 9, "eleven among three"
    assert len(shown(*[picture] * 6)) == 4, "files are counted by max_count as before"


def test_a_file_with_a_damaged_frame_is_not_shown_at_all() -> None:
    whole = pages("TIFF", [np.full((64, 64, 3), value, np.uint8) for value in (10, 20, 30)], compression="tiff_lzw")
    broken = bytearray(whole)
    with Image.open(BytesIO(whole)) as opened:
        opened.seek(2)
        start = opened.tag_v2[273][0]  # type: ignore[attr-defined]
    broken[start : start + 8] = b"\xff" * 8
    loaded = load_given_images(Question.given_as("What?", [bytes(broken)]), ImageSettings())
    assert loaded.images == () and "cannot be decoded" in loaded.problems[0] and loaded.sizes == ()


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_pages_are_frames(kind: str) -> None:
    colors = [np.full((24, 32, 3), color, np.uint8) for color in ([200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90])]
    found = pictures(pages(kind, colors))
    assert len(found) == 4
    for color, picture in zip(colors, found, strict=True):
        assert np.abs(picture.astype(int) - color).max() <= 8, "a GIF has a palette"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "MPO"])
def test_other_animated_pictures_are_their_first(kind: str) -> None:
    assert len(pictures(pages(kind, [np.full((24, 32, 3), value, np.uint8) for value in (10, 200)]))) == 1


def test_thumbnails_and_pages_of_other_sizes_are_no_frames(tmp_path: Path) -> None:
    page = np.full((64, 64), 100, np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(page)
        writer.write(page[::2, ::2])
        writer.write(page + 50)
        writer.write(page, subfiletype=1)
    assert [one[0, 0, 0] for one in pictures(tmp_path / "a.tif")] == [100, 150]


def test_deep_pages_share_one_range_unless_each_is_asked_for(tmp_path: Path) -> None:
    stack = (slices(4) / 40).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", stack, photometric="minisblack")
    for found, plane in zip(pictures(tmp_path / "deep.tif"), stack, strict=True):
        assert np.array_equal(found[..., 0], gray(plane.astype(float), 0, stack.max()))
    with open_frames(tmp_path / "deep.tif", "slice") as frames:
        assert {np.asarray(one).max() for one in frames.pictures(range(4))} == {255}


def test_a_damaged_second_directory_leaves_the_first_page(tmp_path: Path) -> None:
    content = bytearray(pages("TIFF", [np.full((16, 16), 77, np.uint8)] * 2))
    assert [one[0, 0, 0] for one in pictures(bytes(content))] == [77, 77]
    [first] = struct.unpack_from("<I", content, 4)
    [entries] = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, len(content) - 3)
    assert [one[0, 0, 0] for one in pictures(bytes(content))] == [77]


def test_the_first_frame_stands_for_a_file_where_one_picture_is_wanted() -> None:
    stack = slices(5)
    assert np.array_equal(np.asarray(load_image(npy(stack)))[..., 0], gray(stack[0], 0, stack.max()))
    assert load_image(dicom_path("RG1_UNCI.dcm")).size == (1841, 1955)


@pytest.mark.parametrize(
    ("sizes", "cause"),
    [
        ((0, 5, 1), "show nothing"),
        ((5, 5, -1), "show nothing"),
        ((10_000, 10_000, 1), "more than the allowed 89478485"),
        ((1, 1, MAX_FRAMES + 1), "frames are more than"),
        ((512, 512, 2049), "more than the allowed 536870912"),
    ],
)
def test_sizes_are_refused_before_anything_is_decoded(sizes: tuple[int, int, int], cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        check_size(*sizes)
    check_size(512, 512, 2048)


@pytest.mark.parametrize(
    ("module", "content", "extra"),
    [("nibabel", nifti(slices(3)), "volumes"), ("av", film(3, 3), "video")],
    ids=["volumes", "video"],
)
def test_an_absent_package_is_named_with_its_extra(
    module: str, content: bytes, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mevlip.flare.frames.video", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=rf"needs {module}.*pip install 'me-vlip\[{extra}\]'"):
        pictures(content)


def test_content_decides_what_a_file_is() -> None:
    with pytest.raises(ImageError, match="not a readable image"):
        pictures(gzip.compress(npy(slices(2))))
    with pytest.raises(ImageError, match="not a readable image"):
        pictures(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(ImageError, match="the file is empty"):
        pictures(b"")
