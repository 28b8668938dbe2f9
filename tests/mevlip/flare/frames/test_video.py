"""Films: one frame for each second, from its middle."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.frames import video
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.frames.video import moments
from mevlip.flare.pixels import ImageError
from tests.mevlip.frame_files import film


def brightness(content: bytes, *indices: int) -> list[int]:
    with open_frames(content) as frames:
        return [int(np.asarray(one).mean()) for one in frames.pictures(indices or range(frames.count))]


def test_a_film_of_five_seconds_shows_five_frames() -> None:
    """Fleming-VL's rule for 50 frames: parts of 9.8, from frame 0, 10, 20, 29 and 39 on, and half a part further."""
    assert moments(50, 5.0) == (4, 14, 24, 33, 43)


@given(st.integers(1, 10_000), st.floats(0, 1e6))
def test_moments_are_within_the_film_and_one_a_second(count: int, seconds: float) -> None:
    found = moments(count, seconds)
    assert len(found) == min(max(int(seconds), 1), count)
    assert list(found) == sorted(found) and found[0] >= 0 and found[-1] < count


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "mpeg4"),
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("matroska", "mpeg4"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
    ],
)
def test_its_frames_are_those_of_the_rule(container: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    found = brightness(film(50, 10, container, codec))
    assert len(found) == 5
    for index, level in zip((4, 14, 24, 33, 43), found, strict=True):
        assert abs(level - index * 255 / 49) < 6


def test_some_of_its_seconds_can_be_wanted() -> None:
    content = film(50, 10)
    whole = brightness(content)
    assert brightness(content, 0, 2, 4) == [whole[0], whole[2], whole[4]]


def test_a_film_of_less_than_a_second_shows_its_middle() -> None:
    [level] = brightness(film(5, 10))
    assert abs(level - 255 / 2) < 6


def test_a_file_that_is_cut_off_shows_what_is_there() -> None:
    content = film(100, 10, "matroska")
    assert 1 <= len(brightness(content[: len(content) // 2])) < 10
    with pytest.raises(ImageError, match="cannot be decoded"):
        brightness(film(50, 10)[:2000])


def test_sound_alone_is_no_film() -> None:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        stream: Any = opened.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        opened.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(ImageError, match="holds no film"):
        brightness(file.getvalue())


def test_other_codecs_are_named() -> None:
    with pytest.raises(ImageError, match="coded as flv, which is not read"):
        brightness(film(10, 10, "avi", "flv"))


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_DECODED", 64 * 48 * 20)
    assert len(brightness(film(20, 10))) == 2
    with pytest.raises(ImageError, match="more than the allowed 61440 pixels together"):
        brightness(film(21, 10))


def test_nothing_is_said_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(film(50, 10, "avi"))
    content[3000:3200] = b"\xff" * 200
    with pytest.raises(ImageError):
        brightness(bytes(content[:200]))
    try:
        brightness(bytes(content))
    finally:
        assert capfd.readouterr().err == ""
