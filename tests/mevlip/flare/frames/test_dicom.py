"""DICOM as a viewer shows it, compared with pydicom's own functions, and what is refused."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.frames.base import shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.pixels import ImageError
from tests.mevlip.frame_files import dicom_path, gray
from tests.mevlip.real_pictures import dicom


def shown(content: str | bytes | pydicom.Dataset, intensity: str = "volume") -> NDArray[np.uint8]:
    """All frames, (frames, height, width, 3)."""
    if isinstance(content, pydicom.Dataset):
        file = BytesIO()
        content.save_as(file)
        content = file.getvalue()
    source = dicom_path(content) if isinstance(content, str) else content
    with open_frames(source, intensity) as frames:  # type: ignore[arg-type]
        return np.stack([np.asarray(one) for one in frames.pictures(range(frames.count))])


def edited(name: str, **values: Any) -> pydicom.Dataset:
    """A file with other elements; None leaves one out."""
    dataset = pydicom.dcmread(dicom_path(name))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCI.dcm", "MR2_UNCI.dcm", "693_UNCI.dcm", "MR_small.dcm"])
def test_windows_are_those_of_pydicom(name: str) -> None:
    data = dicom(name)
    rescaled = apply_modality_lut(data.pixel_array, data)
    windowed = apply_windowing(rescaled, data).astype(float)
    signed = data.PixelRepresentation
    ends = np.array([-(2 ** (data.BitsStored - 1)), 2 ** (data.BitsStored - 1) - 1]) if signed else np.array(
        [0, 2**data.BitsStored - 1]
    )  # fmt: skip
    low, high = ends * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
    expected = gray(windowed, low, high).astype(int)
    if data.PhotometricInterpretation == "MONOCHROME1":
        expected = 255 - expected
    assert np.abs(shown(name)[0, ..., 0] - expected).max() <= 1


def test_low_values_are_bright_in_monochrome1() -> None:
    data = dicom("RG1_UNCR.dcm")
    assert data.PhotometricInterpretation == "MONOCHROME1"
    levels, stored = shown("RG1_UNCR.dcm")[0, ..., 0], data.pixel_array
    assert levels[stored < 3000].mean() > levels[stored > 15_000].mean() + 50


def test_hounsfield_units_are_scaled_by_their_range_without_a_window() -> None:
    stored = dicom("CT_small.dcm").pixel_array.astype(float)
    assert "WindowCenter" not in dicom("CT_small.dcm")
    assert np.array_equal(shown("CT_small.dcm")[0, ..., 0], gray(stored, stored.min(), stored.max()))


def test_a_window_is_in_hounsfield_units() -> None:
    levels = shown(edited("CT_small.dcm", WindowCenter=40, WindowWidth=400))[0, ..., 0]
    units = dicom("CT_small.dcm").pixel_array.astype(float) - 1024
    assert (levels[units < -161] == 0).all() and (levels[units > 240] == 255).all()
    assert np.abs(levels[np.abs(units - 40) < 5].astype(int) - 128).max() <= 4


@pytest.mark.parametrize(
    ("function", "half"), [("LINEAR", (-160, 239)), ("LINEAR_EXACT", (-160, 240)), ("SIGMOID", None)]
)
def test_window_functions(function: str, half: tuple[int, int] | None) -> None:
    file = edited("CT_small.dcm", WindowCenter=[40, 500], WindowWidth=[400, 50], VOILUTFunction=function)
    levels, units = shown(file)[0, ..., 0], dicom("CT_small.dcm").pixel_array.astype(float) - 1024
    if half is None:
        assert np.abs(levels - 255 / (1 + np.exp(-4 * (units - 40) / 400))).max() <= 0.51
    else:
        assert np.abs(levels.astype(float) - gray(units.clip(*half), *half)).max() <= 1


def test_lookup_tables_are_those_of_pydicom() -> None:
    data = dicom("vlut_04.dcm")
    expected = apply_voi(apply_modality_lut(data.pixel_array, data), data)
    greatest = 2 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1
    assert np.array_equal(shown("vlut_04.dcm")[0, ..., 0], gray(expected, 0, greatest))
    data = dicom("mlut_18.dcm")
    assert "VOILUTSequence" not in data and len(np.unique(shown("mlut_18.dcm"))) > 100


def test_eight_bits_without_a_window_stay_as_they_are() -> None:
    data = edited("examples_overlay.dcm")
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 2, 3, 8, 8, 7
    data.PixelRepresentation, data.PixelData = 0, bytes([40, 41, 50, 60, 70, 80])
    for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "SmallestImagePixelValue"):
        if keyword in data:
            delattr(data, keyword)
    assert shown(data)[0, ..., 1].ravel().tolist() == [40, 41, 50, 60, 70, 80]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("RG1_UNCR.dcm", "RG1_J2KR.dcm"),
        ("rtdose.dcm", "rtdose_rle.dcm"),
        ("emri_small.dcm", "emri_small_jpeg_2k_lossless.dcm"),
        ("emri_small.dcm", "emri_small_big_endian.dcm"),
        ("SC_rgb.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb.dcm", "SC_rgb_16bit.dcm"),
        ("color-px.dcm", "color-pl.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
    ],
)
def test_one_image_in_two_codings_looks_the_same(one: str, other: str) -> None:
    assert np.abs(shown(one).astype(int) - shown(other)).max() <= 1


@pytest.mark.parametrize(
    "name",
    [
        "SC_ybr_full_uncompressed.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
    ],
)
def test_ybr_and_jpeg_are_close_to_the_picture_itself(name: str) -> None:
    plain = "SC_rgb_small_odd.dcm" if "odd" in name else "SC_rgb.dcm"
    assert np.abs(shown(name).astype(int) - shown(plain)).mean() < 6


def test_colors_are_red_green_and_blue() -> None:
    tops = shown("SC_rgb.dcm")[0][5::10, 50]
    assert tops[:3].tolist() == [[255, 0, 0], [255, 128, 128], [0, 255, 0]]


def test_all_frames_share_a_range_unless_each_has_its_own() -> None:
    dose = dicom("rtdose.dcm").pixel_array.astype(float)
    assert np.array_equal(shown("rtdose.dcm")[..., 0], gray(dose, dose.min(), dose.max()))
    assert {frame.max() for frame in shown("rtdose.dcm", "slice")} == {255}


def test_frames_of_an_ultrasound_clip_are_evenly_spaced_and_in_order() -> None:
    path = dicom_path("color3d_jpeg_baseline.dcm")
    with open_frames(path, "volume") as frames:
        chosen = shown_frames(frames.count, ImageSettings(), files=1)
        assert chosen == (0, 11, 23, 35, 47, 59, 71, 83, 95, 107, 119)
        pictures = [np.asarray(one).astype(int) for one in frames.pictures(chosen)]
    file = pydicom.dcmread(path)
    for index, picture in zip(chosen, pictures, strict=True):
        expected = pydicom.pixels.pixel_array(file, index=index, raw=False).astype(int)
        assert np.abs(picture - expected).max() <= 2


def test_an_enhanced_images_settings_are_its_frames_own_or_shared() -> None:
    data = edited("eCT_Supplemental.dcm")
    own = pydicom.Dataset()
    own.WindowCenter, own.WindowWidth = -500, 1000
    data.PerFrameFunctionalGroupsSequence[1].FrameVOILUTSequence = [own]
    units = data.pixel_array.astype(float) - 1024
    for frame, levels, low, high in zip(units, shown(data)[..., 0], (-2, -1000), (99, -1), strict=True):
        assert np.abs(levels.astype(int) - gray(frame.clip(low, high), low, high)).max() <= 1


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("JPEG-LL.dcm", "JPEG Lossless.*Explicit VR Little Endian"),
        ("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS Lossless"),
        ("JPGExtended.dcm", "JPEG Extended"),
        ("image_dfl.dcm", "Deflated"),
        ("gdcm-US-ALOKA-16.dcm", "its palette is segmented"),
        ("OBXXXX1A_expb.dcm", "its palette is big-endian"),
        ("test-SR.dcm", r"holds no image \(SR\)"),
        ("rtplan.dcm", r"holds no image \(RTPLAN\)"),
        ("MR_truncated.dcm", "less than expected"),
        ("meta_missing_tsyntax.dcm", "no transfer syntax"),
    ],
)
def test_what_is_not_read_is_named(name: str, cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        shown(name)


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"Rows": 65535, "Columns": 65535}, "more than the allowed 89478485"),
        ({"Rows": 0}, "show nothing"),
        ({"NumberOfFrames": "2000000000"}, "frames are more than"),
        ({"NumberOfFrames": "-1"}, "show nothing"),
        ({"NumberOfFrames": "9"}, "less than expected"),
        ({"SamplesPerPixel": 65535}, "are not read"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "cannot be decoded"),
        ({"BitsAllocated": 65528}, "are not read"),
        ({"PhotometricInterpretation": "HSV"}, "'HSV', is not read"),
        ({"PhotometricInterpretation": None}, "holds no image"),
        ({"PixelData": None}, "holds no image"),
        ({"Rows": None}, "cannot be decoded"),
    ],
)
def test_headers_that_lie_are_refused(values: dict[str, Any], cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        shown(edited("CT_small.dcm", **values))


def test_a_deflated_file_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object, **__: object) -> bytes:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(zlib, "decompress", unpack)
    monkeypatch.setattr(zlib, "decompressobj", unpack)
    with pytest.raises(ImageError, match="Deflated"):
        shown("image_dfl.dcm")


def test_compressed_frames_of_another_size_are_not_unpacked() -> None:
    with pytest.raises(ImageError, match="640 x 480 pixels, not 640 x 479"):
        shown(edited("examples_jpeg2k.dcm", Rows=479))


def test_a_run_length_bomb_is_not_unpacked() -> None:
    data = edited("CT_small.dcm")
    frame = struct.pack("<16I", 2, 64, 70, *[0] * 13) + b"\x81\0" * (5 << 20)
    data.PixelData = pydicom.encaps.encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = RLELossless
    with pytest.raises(ImageError, match="bytes of RLE"):
        shown(data)


def test_a_segmented_palette_is_not_unpacked() -> None:
    assert dicom("CT_small.dcm").file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    data = edited("CT_small.dcm", PhotometricInterpretation="PALETTE COLOR")
    data.SegmentedRedPaletteColorLookupTableData = bytes(6)
    with pytest.raises(ImageError, match="segmented"):
        shown(data)
