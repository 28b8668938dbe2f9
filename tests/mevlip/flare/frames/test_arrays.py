"""Volumes: orientation, order and brightness of their slices, and what is refused."""

from __future__ import annotations

import gzip
import struct
import zlib

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from mevlip.flare.frames.reading import open_frames
from mevlip.flare.pixels import ImageError
from tests.mevlip.frame_files import Array, gray, nifti, npy, slices


def levels(content: bytes, intensity: str = "volume") -> NDArray[np.uint8]:
    """Gray levels of all slices, (slices, height, width)."""
    with open_frames(content, intensity) as frames:  # type: ignore[arg-type]
        found = np.stack([np.asarray(one) for one in frames.pictures(range(frames.count))])
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 0] == found[..., 2]).all()
    return found[..., 0]


def expected(planes: Array) -> Array:
    return np.stack([gray(plane.astype(float), planes.min(), planes.max()) for plane in planes])


@pytest.mark.parametrize("shape", [(32, 256, 256), (1, 32, 256, 256), (5, 20, 30), (1, 1, 20, 30), (20, 30)])
def test_npy_of_any_depth(shape: tuple[int, ...]) -> None:
    planes = slices(*((1, 1, *shape)[-3:]))
    assert np.array_equal(levels(npy(planes.reshape(shape))), expected(planes))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int16, np.uint16, ">i2", np.int64, np.float16, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_numbers_and_order(kind: type, order: str) -> None:
    planes = (slices(6) / 400 - 20).clip(0).astype(kind)
    assert np.array_equal(levels(npy(np.array(planes, order=order))), expected(planes.astype(np.float64)))  # type: ignore[call-overload]


def test_brightness_is_of_the_whole_volume_or_of_each_slice() -> None:
    planes = slices(4)
    whole, own = levels(npy(planes)), levels(npy(planes), "slice")
    assert [one.max() for one in whole] == sorted({one.max() for one in whole}) and whole[0].max() < 100
    assert all((one.min(), one.max()) == (0, 255) for one in own), "as Fleming-VL scales them"


def test_values_that_are_no_numbers_become_black() -> None:
    planes = slices(3).astype(np.float64)
    planes[0, 0, 0], planes[1, 5, 5], planes[2, 1, 1] = np.nan, np.inf, -np.inf
    found = levels(npy(planes))
    assert found[0, 0, 0] == found[1, 5, 5] == found[2, 1, 1] == 0 and found.max() == 255
    assert levels(npy(np.full((2, 4, 4), np.nan))).max() == 0 == levels(npy(np.full((2, 4, 4), 7))).max()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (npy(np.zeros((2, 3, 4, 5))), "its shape is"),
        (npy(np.zeros(5)), "its shape is"),
        (npy(np.zeros((2, 3, 4), complex)), "not real numbers"),
        (npy(np.array([[{}]]), allow_pickle=True), "not real numbers"),
        (npy(np.zeros((2, 3), [("a", "f4")])), "not real numbers"),
        (npy(np.zeros((2, 3), "U3")), "not real numbers"),
        (npy(np.zeros((3, 8, 8)))[:-1], "ends after"),
        (npy(np.zeros((0, 8, 8))), "show nothing"),
        (npy(np.zeros((2, 8, 8))).replace(b"(2, 8, 8)", b"(2, 8, 9e9)"), "cannot be decoded"),
        (npy(np.zeros((2, 8, 8))).replace(b"(2, 8, 8), }   ", b"(99999,9,9), } "), "ends after"),
        (npy(np.zeros((2, 8, 8))).replace(b"(2, 8, 8), }     ", b"(2000,500,500), }"), "bytes; the file is larger"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\x7f" + bytes(100), "cannot be decoded"),
        (b"\x93NUMPY\x09\0" + bytes(100), "version"),
    ],
)
def test_other_npy_files_are_refused(content: bytes, cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        levels(content)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "RPI", "SPL", "PIR", "ASR", "IRA"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_is_shown_as_radiologists_see_it_however_it_is_stored(axes: str, kind: type) -> None:
    """From feet to head; the patient's right is on the left of each picture, the front at the top."""
    planes = slices(7, 20, 30)
    assert np.array_equal(levels(nifti(planes, axes, kind)), expected(planes))
    assert np.array_equal(levels(gzip.compress(nifti(planes, axes, kind))), expected(planes))


def test_a_point_at_the_patients_right_front_and_head_is_at_the_top_left_of_the_last_slice() -> None:
    values = np.zeros((10, 12, 8), np.int16)  # right, front and head grow along the axes: RAS
    values[9, 11, 7] = 100
    found = levels(nibabel.Nifti1Image(values, np.eye(4)).to_bytes())
    assert found.shape == (8, 12, 10) and found[7, 0, 0] == 255 and found.sum() == 255


def test_a_volume_that_lies_askew_is_turned_to_the_nearest_axes() -> None:
    values = np.zeros((10, 12, 8), np.int16)
    values[9, 11, 7] = 100
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    assert levels(nibabel.Nifti1Image(values, turn).to_bytes())[7, 0, 0] == 255


def test_slope_and_intercept_are_applied() -> None:
    planes = slices(3).astype(np.int16)
    turned = levels(nifti(planes, scl_slope=-2.0, scl_inter=5.0))
    assert np.array_equal(turned, expected(-planes.astype(float)))
    assert np.array_equal(levels(nifti(planes, scl_slope=0.0)), expected(planes))


def test_big_endian_flat_and_single_moments_are_read() -> None:
    planes = slices(3).astype(np.int16)
    swapped = nibabel.Nifti1Header(endianness=">")
    big = nibabel.Nifti1Image(planes.transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]), swapped)
    assert np.array_equal(levels(big.to_bytes()), expected(planes))
    moment = nibabel.Nifti1Image(planes.transpose(2, 1, 0)[..., None], np.diag([-1.0, -1, 1, 1]))
    assert np.array_equal(levels(moment.to_bytes()), expected(planes))
    flat = nibabel.Nifti1Image(planes[0].T, np.diag([-1.0, -1, 1, 1]))
    assert np.array_equal(levels(flat.to_bytes()), expected(planes[:1]))


def _header(content: bytes, place: int, form: str, *values: float) -> bytes:
    packed = struct.pack(form, *values)
    return content[:place] + packed + content[place + len(packed) :]


NIFTI = nifti(slices(3).astype(np.int16))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)).to_bytes(), "one moment of a series"),
        (_header(NIFTI, 344, "4s", b"ni1\0"), "in another file"),
        (_header(NIFTI, 40, "<4h", 3, 30_000, 30_000, 1), "more than the allowed 89478485"),
        (_header(NIFTI, 40, "<4h", 3, 512, 512, 4000), "more than the allowed 536870912"),
        (_header(NIFTI, 40, "<4h", 3, 512, 512, 512), "ends after"),
        (_header(NIFTI, 40, "<4h", 3, -1, 5, 5), "show nothing"),
        (_header(NIFTI, 40, "<h", 0), "its shape is"),
        (_header(NIFTI, 40, "<h", 99), "."),
        (_header(NIFTI, 70, "<h", 128), "colors"),
        (_header(NIFTI, 70, "<h", 32), "not real numbers"),
        (_header(NIFTI, 70, "<h", 999), "cannot be decoded"),
        (_header(NIFTI, 108, "<f", 4e9), "cannot begin at byte"),
        (_header(NIFTI, 108, "<f", 0), "cannot begin at byte"),
        (_header(NIFTI, 108, "<f", float("nan")), "cannot be decoded"),
        (_header(NIFTI, 280, "<12f", *[float("inf")] * 12), "how the patient lies"),
        (_header(NIFTI, 280, "<12f", *[0.0] * 12), "how the patient lies"),
        (NIFTI[:360], "ends after"),
        (gzip.compress(NIFTI)[:-2000], "."),
    ],
)
def test_other_nifti_files_are_refused(content: bytes, cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        levels(content)


def test_a_packed_volume_is_unpacked_no_further_than_its_header_says() -> None:
    """Zeros follow, a thousand times smaller when packed."""
    packer = zlib.compressobj(9, wbits=31)
    content = packer.compress(NIFTI)
    zeros = bytes(1 << 20)
    content += b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    assert np.array_equal(levels(content), levels(NIFTI))
