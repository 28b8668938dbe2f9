from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mevlip.flare.images import find_image, load_image, spaced_indices
from mevlip.flare.pixels import ImageError, fit_pixel_budget

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("top", [65535, 4095, 300])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_by_its_range(tmp_path: Path, top: int, suffix: str) -> None:
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray((RAMP * top).astype(np.uint16)).save(path)
    gray = pixels(load_image(path))[..., 0]
    assert gray.min() == 0 and gray.max() == 255
    assert np.abs(gray - RAMP * 255).max() < 1.5  # the stored whole numbers were rounded down


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bit_gray_is_scaled_by_its_range(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray((RAMP * 1e6 - 500).astype(kind)).save(path)
    assert np.abs(pixels(load_image(path))[..., 1] - RAMP * 255).max() <= 1


def test_deep_tiff_whose_zero_is_white(tmp_path: Path) -> None:
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(tmp_path / "w.tif", tiffinfo={262: 0})
    gray = pixels(load_image(tmp_path / "w.tif"))[..., 0]
    assert gray[0, 0] == 255 and gray[7, 7] == 0


def test_values_that_are_no_numbers_become_black(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)
    values[0, 0], values[7, 7] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "f.tif")
    gray = pixels(load_image(tmp_path / "f.tif"))[..., 0]
    assert gray[0, 0] == 0 and gray[7, 7] == 0 and gray[7, 6] == 255


def test_constant_deep_image_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "c.png")
    assert pixels(load_image(tmp_path / "c.png")).max() == 0


def test_transparency_lies_over_black(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    image.save(tmp_path / "alpha.png")
    assert pixels(load_image(tmp_path / "alpha.png")).tolist() == [[[200, 100, 50], [0, 0, 0]]]


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 250, 240, 230])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=1)
    assert pixels(load_image(tmp_path / "palette.png")).tolist() == [[[10, 20, 30], [0, 0, 0]]]


def test_one_bit_gray_alpha_and_cmyk(tmp_path: Path) -> None:
    Image.new("1", (2, 2), 1).save(tmp_path / "one.png")
    Image.new("LA", (2, 2), (80, 255)).save(tmp_path / "la.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert pixels(load_image(tmp_path / "one.png")).min() == 255
    assert (pixels(load_image(tmp_path / "la.png")) == 80).all()
    red, green, blue = pixels(load_image(tmp_path / "cmyk.jpg"))[4, 4]
    assert red > 200 and green < 60 and blue < 60


def test_orientation_tag_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 10), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    image.save(tmp_path / "turned.png", exif=exif)
    turned = load_image(tmp_path / "turned.png")
    assert turned.size == (10, 30)
    assert turned.getpixel((5, 3)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "MPO", "WEBP"])
def test_first_page_of_a_multi_page_file(tmp_path: Path, kind: str) -> None:
    pages = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "pages", kind, save_all=True, append_images=pages[1:])
    red, green, blue = load_image(tmp_path / "pages").getpixel((8, 8))  # type: ignore[misc]
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "JPEG2000"])
def test_every_allowed_format_is_read(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (16, 16), (200, 30, 30)).save(tmp_path / "one", kind)
    assert np.abs(pixels(load_image(tmp_path / "one")).astype(int) - [200, 30, 30]).max() <= 6


def test_content_decides_not_extension(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "lime").save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert load_image(tmp_path / "x.jpg").getpixel((0, 0)) == (0, 255, 0)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(30000, 30000), (10000, 10000)])
def test_size_is_bounded_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(*size))
    with pytest.raises(ImageError, match="more than the allowed"):
        load_image(tmp_path / "huge.png")


def test_damaged_files_have_a_named_cause(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, cause in (("empty", "empty"), ("text", "not a readable image"), ("cut", "cannot be decoded")):
        with pytest.raises(ImageError, match=cause):
            load_image(tmp_path / f"{name}.png")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"GIF89a", b"BM"]),
)
def test_any_bytes_give_a_picture_or_a_cause(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, head: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(head + tail)
    try:
        assert load_image(path).mode == "RGB"
    except ImageError as error:
        assert str(error)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "imagesVal/../../a.png",
        "/etc/passwd",
        "//etc/passwd",
        "C:/a.png",
        "..\\a.png",
        "\\a.png",
        "a\0b.png",
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="not a path below"):
        find_image(tmp_path, tmp_path, name)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ImageError, match="leaves the input folder"):
        find_image(root.resolve(), root, "link.png")


def test_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (9, 8, 7)).save(tmp_path / "a.png")
    assert pixels(load_image((tmp_path / "a.png").read_bytes())).tolist() == [[[9, 8, 7]] * 3] * 2
    for content, cause in ((b"", "empty"), (b"text", "not a readable image")):
        with pytest.raises(ImageError, match=cause):
            load_image(content)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    assert find_image(tmp_path.resolve(), tmp_path, "link.png").name == "link.png"


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not found"):
        find_image(tmp_path, tmp_path, "pipe.png")


@pytest.mark.parametrize("stored", ["imagesTr", "imagesVal", "imagesTs", "images", "."])
@pytest.mark.parametrize("named", ["imagesTs/a.png", "imagesVal/a.png", "imagesVal\\a.png", "a.png"])
def test_splits_name_their_image_folder_differently(tmp_path: Path, stored: str, named: str) -> None:
    (tmp_path / stored).mkdir(exist_ok=True)
    (tmp_path / stored / "a.png").touch()
    assert find_image(tmp_path.resolve(), tmp_path, named) == tmp_path / stored / "a.png"


@given(st.integers(0, 50), st.integers(1, 8))
def test_indices_are_spaced_evenly(count: int, limit: int) -> None:
    indices = spaced_indices(count, limit)
    assert len(indices) == min(count, limit) == len(set(indices))
    assert list(indices) == sorted(indices)
    if count and limit > 1:
        assert indices[0] == 0 and indices[-1] == count - 1
        gaps = np.diff(indices)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


@given(st.integers(1, 400), st.integers(1, 400))
def test_pixel_budget_keeps_the_shape(width: int, height: int) -> None:
    fitted = fit_pixel_budget(Image.new("RGB", (width, height)), min_pixels=1024, max_pixels=10000)
    assert fitted.width * fitted.height <= 10000 or min(fitted.size) == 1
    if 1024 <= width * height <= 10000:
        assert fitted.size == (width, height)
