"""Image files and archives that are damaged, hostile or only unusual."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import record
from tests.mevlip.malformed.case import Case, picture, record_case

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
ANY = "any"
"""Where a decoder may or may not make sense of a damaged file; both are fine if the run goes on."""


def cases() -> Iterator[Case]:
    for name, (content, problem) in {**_damaged(), **_foreign(), **_bombs(), **_unusual()}.items():
        yield record_case(
            f"image {name}", record(image="odd.png"), problem,
            lambda folder, content=content: (folder / "odd.png").write_bytes(content),
        )  # fmt: skip
    for name, (make, problem) in _archives().items():
        yield record_case(f"archive {name}", record(image="imagesVal/odd.png"), problem, make)


def _damaged() -> dict[str, tuple[bytes, str]]:
    found: dict[str, tuple[bytes, str]] = {}
    for kind in FORMATS:
        whole = picture(kind, size=(120, 90))
        found[f"{kind} of ten bytes"] = whole[:10], "image 'odd.png'"
        found[f"{kind} cut in half"] = whole[: len(whole) // 2], ANY
        found[f"{kind} without its end"] = whole[:-9], ANY
        flipped = bytearray(whole)
        flipped[20 :: max(len(flipped) // 40, 1)] = b"\xa5" * len(flipped[20 :: max(len(flipped) // 40, 1)])
        found[f"{kind} with flipped bytes"] = bytes(flipped), ANY
        found[f"{kind} after rubbish"] = b"\0" * 7 + whole, "image 'odd.png'"
        found[f"{kind} before rubbish"] = whole + b"\xff\0" * 5000, ANY
    return found


def _foreign() -> dict[str, tuple[bytes, str]]:
    return {
        name: (content, problem)
        for name, content, problem in (
            ("empty", b"", "the file is empty"),
            ("zeros", bytes(5000), "not a readable image"),
            ("text", b"not an image", "not a readable image"),
            ("html", b"<html><img src=x></html>", "not a readable image"),
            ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a readable image"),
            ("pdf", b"%PDF-1.7\n%\xe2\xe3", "not a readable image"),
            ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable image"),
            ("dicom", bytes(128) + b"DICM" + bytes(99), "names no transfer syntax"),
            ("icon", picture("ICO", size=(32, 32)), "not a readable image"),
            ("targa", picture("TGA"), "not a readable image"),
            ("photoshop", b"8BPS\0\x01" + bytes(99), "not a readable image"),
            ("gzip", gzip.compress(picture()), "not a readable image"),
            ("elf", b"\x7fELF" + bytes(99), "not a readable image"),
            ("pickle", b"\x80\x04cos\nsystem\n.", "not a readable image"),
        )
    }


def _png(width: int, height: int, *extra: bytes, kind: int = 2) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    chunks = b"".join(chunk(one[:4], one[4:]) for one in extra)
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def _bombs() -> dict[str, tuple[bytes, str]]:
    zeros = zlib.compress(bytes(80_000_000))
    small = struct.pack("<HH", 40, 30)
    return {
        "PNG of 900 megapixels": (_png(30_000, 30_000), "more than the allowed"),
        "PNG at 100 megapixels": (_png(10_000, 10_000), "more than the allowed"),
        "PNG of four billion columns": (_png(2**32 - 1, 1), "image 'odd.png'"),
        "PNG of nothing": (_png(0, 0), "image 'odd.png'"),
        "PNG with a text bomb": (_png(4, 4, b"zTXt" + b"a\0\0" + zeros), ANY),
        "PNG with a profile bomb": (_png(4, 4, b"iCCP" + b"a\0\0" + zeros), ANY),
        "PNG with a second header": (_png(4, 4, b"IHDR" + bytes(13)), ANY),
        "PNG with a palette too short": (_png(4, 4, b"PLTEabc", kind=3), ANY),
        "PNG with an animation of no frames": (_png(4, 4, b"acTL" + bytes(8)), ANY),
        "GIF of a huge screen": (_patched(picture("GIF"), small, struct.pack("<HH", 65535, 65535)), ANY),
        "BMP of a huge width": (
            _patched(picture("BMP"), struct.pack("<ii", 40, 30), struct.pack("<ii", 2**31 - 1, 30)),
            "image 'odd.png'",
        ),
        "BMP of a negative width": (
            _patched(picture("BMP"), struct.pack("<ii", 40, 30), struct.pack("<ii", -40, 30)),
            ANY,
        ),
        "PPM of a huge size": (b"P6 99999 99999 255\n" + bytes(99), "more than the allowed"),
        "PPM of nothing": (b"P6 0 0 255\n", "image 'odd.png'"),
        "PPM of endless digits": (b"P6 " + b"9" * 5000 + b" 1 255\n", "image 'odd.png'"),
        "PPM of endless comment": (b"P6 #" + b"x" * 100_000, "image 'odd.png'"),
        "TIFF of a huge size": (_tiff(60_000, 60_000), "more than the allowed"),
        "TIFF whose directory is itself": (
            b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8),
            "image 'odd.png'",
        ),
        "TIFF of ever more strips": (_tiff(40, 2**31 - 1), "image 'odd.png'"),
        "JPEG of 65,535 squared": (
            _patched(picture("JPEG"), struct.pack(">HH", 30, 40), struct.pack(">HH", 65535, 65535)),
            "more than the allowed",
        ),
        "JPEG of no lines": (_patched(picture("JPEG"), struct.pack(">HH", 30, 40), struct.pack(">HH", 0, 40)), ANY),
        "JPEG 2000 with a box of four gigabytes": (
            _patched(picture("JPEG2000"), b"\0\0\0-jp2h", b"\xff\xfe\0-jp2h"),
            "image 'odd.png'",
        ),
        "WebP of a huge canvas": (_patched(picture("WEBP"), picture("WEBP")[26:30], b"\xff\x3f\xff\x3f"), ANY),
    }


def _tiff(width: int, height: int) -> bytes:
    tags = (
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, 9),
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


def _unusual() -> dict[str, tuple[bytes, str]]:
    found: dict[str, tuple[bytes, str]] = {}
    for kind, mode in (
        ("PNG", "1"),
        ("PNG", "L"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("JPEG", "YCbCr"),
        ("TIFF", "1"),
        ("TIFF", "CMYK"),
        ("TIFF", "LAB"),
        ("TIFF", "YCbCr"),
        ("TIFF", "RGBA"),
        ("TIFF", "P"),
        ("TIFF", "LA"),
        ("TIFF", "I"),
        ("TIFF", "F"),
        ("BMP", "1"),
        ("BMP", "P"),
        ("GIF", "L"),
        ("WEBP", "RGBA"),
        ("PPM", "1"),
        ("PPM", "L"),
        ("JPEG2000", "LA"),
        ("JPEG2000", "RGBA"),
    ):
        found[f"{kind} in mode {mode}"] = picture(kind, mode), ""
    for name, values in {
        "16 bits": np.arange(1200, dtype=np.uint16),
        "big-endian 16 bits": np.arange(1200, dtype=">u2"),
        "nothing finite": np.full(1200, np.nan, np.float32),
        "infinite": np.full(1200, np.inf, np.float32),
        "huge range": np.linspace(-3e38, 3e38, 1200, dtype=np.float32),
    }.items():
        file = BytesIO()
        Image.fromarray(values.reshape(30, 40)).save(file, "TIFF")
        found[f"TIFF of {name}"] = file.getvalue(), ""
    frames: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (40, 30), "red")] * 3}
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        found[f"animated {kind}"] = picture(kind, **frames), ""
    for orientation in (0, 3, 8, 99):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"JPEG turned by {orientation}"] = picture("JPEG", exif=exif), ""
    found["JPEG with rubbish for a profile"] = (
        picture("JPEG", exif=b"Exif\0\0" + b"\xa5" * 500, icc_profile=b"x" * 99),
        "",
    )
    found["PNG of one pixel"] = picture(size=(1, 1)), ""
    found["PNG of one row"] = picture(size=(5000, 1)), ""
    found["PNG of one column"] = picture(size=(1, 5000)), ""
    return found


def _zip(name: str, **members: bytes) -> Callable[[Path], None]:
    """An archive beside the question file; a member's name has `_` for `/`."""

    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as packed:
            for member, content in members.items():
                packed.writestr(member.replace("_png", ".png"), content)

    return write


def _edited(make: Callable[[Path], object], edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        make(folder)
        path = folder / "imagesVal.zip"
        path.write_bytes(edit(path.read_bytes()))

    return write


def _method(number: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "imagesVal.zip", "w", number) as packed:
            packed.writestr("odd.png", picture())

    return write


def _archives() -> dict[str, tuple[Callable[[Path], object], str]]:
    plain = _zip("imagesVal.zip", odd_png=picture())
    zeros = bytes(40_000_000)
    large = _zip("imagesVal.zip", odd_png=zeros)

    def names(*members: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            with zipfile.ZipFile(folder / "imagesVal.zip", "w") as packed:
                for member in members:
                    packed.writestr(zipfile.ZipInfo(member), picture())

        return write

    def claims(size: int) -> Callable[[bytes], bytes]:
        return lambda content: content.replace(struct.pack("<I", len(zeros)), struct.pack("<I", size))

    def encrypted(content: bytes) -> bytes:
        place = content.index(b"PK\x01\x02")
        return content[: place + 8] + b"\x01" + content[place + 9 :]

    def link(folder: Path) -> None:
        (folder / "imagesVal.zip").symlink_to("imagesVal.zip")

    absent = "not found"
    return {
        "plain": (plain, ""),
        "stored": (_method(zipfile.ZIP_STORED), ""),
        "bzip2": (_method(zipfile.ZIP_BZIP2), "another method"),
        "lzma": (_method(zipfile.ZIP_LZMA), "another method"),
        "zeros": (large, "not a readable image"),
        "claims less": (_edited(large, claims(1000)), "image 'imagesVal/odd.png'"),
        "claims more": (_edited(large, claims(50_000_000)), "image 'imagesVal/odd.png'"),
        "claims too much": (_edited(large, claims(2**32 - 2)), "larger than the allowed"),
        "encrypted": (_edited(plain, encrypted), "cannot be unpacked"),
        "cut": (_edited(plain, lambda content: content[:-30]), absent),
        "cut in half": (_edited(plain, lambda content: content[: len(content) // 2]), absent),
        "empty file": (_edited(plain, lambda _: b""), absent),
        "no members": (_edited(plain, lambda _: b"PK\x05\x06" + bytes(18)), absent),
        "rubbish": (_edited(plain, lambda _: b"\xa5" * 5000), absent),
        "directory at the end of the world": (_edited(plain, lambda c: c[:-6] + b"\xff\xff\xff\x7f\0\0"), ANY),
        "directory of four gigabytes": (_edited(plain, lambda c: c[:-10] + b"\xfe\xff\xff\xff" + c[-6:]), absent),
        "flipped bytes": (
            _edited(plain, lambda c: c[:45] + bytes(byte ^ 0xFF for byte in c[45:60]) + c[60:]),
            "cannot be unpacked",
        ),
        "wrong local header": (_edited(plain, lambda c: b"XX" + c[2:]), "image 'imagesVal/odd.png'"),
        "after rubbish": (_edited(plain, lambda c: b"#!/bin/sh\n" + c), ""),
        "climbing": (names("../odd.png", "../../odd.png"), absent),
        "absolute": (names("/odd.png", "C:/odd.png"), absent),
        "nested": (names("imagesVal/odd.png"), ""),
        "twice": (names("imagesVal/odd.png", "odd.png"), ""),
        "folder of that name": (names("odd.png/", "odd.png/x"), absent),
        "control characters": (names("\x1b[2J.png", "a\nb.png"), absent),
        "archive in archive": (_zip("imagesVal.zip", odd_png=b"PK\x03\x04" + bytes(99)), "not a readable image"),
        "no image": (_zip("imagesVal.zip", odd_png=b""), "the file is empty"),
        "link to itself": (link, absent),
        "thousands": (names(*(f"{n}.png" for n in range(3000))), absent),
    }
