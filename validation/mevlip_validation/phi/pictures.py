"""What stands beside the pixels of a picture: PNG text, EXIF, XMP, IPTC, comments and TIFF tags."""

from __future__ import annotations

import base64
import binascii
import re
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mevlip.flare.pixels import FORMATS
from mevlip_validation.phi.identifiers import Kind
from mevlip_validation.phi.passages import Passage, decode, lines, markup_passages

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""Largest compressed text of a PNG that is unpacked."""

_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXIF, _GPS, _LATITUDE = 0x8769, 0x8825, 2
_BINARY_TAGS = frozenset((0x8769, 0x8825, 0xA005, 34675, 34665, 34853, 273, 279, 324, 325, 347, 513, 514, 33723))
_AUTHORS = frozenset(("Artist", "Author", "CameraOwnerName", "XPAuthor", "OwnerName", "By-line"))
_IPTC_RECORD = 2
_IPTC_LABELS = {55: "date", 62: "date", 80: "author name", 122: "author name"}
_CODES = (b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", b"\0\0\0\0\0\0\0\0")
_LEAST_EMBEDDED = 200
_EMBEDDED = re.compile(rf"[A-Za-z0-9+/]{{{_LEAST_EMBEDDED},}}={{0,2}}")


class Damaged(ValueError):
    """A file that cannot be read to its end; its text is the cause."""


def picture_passages(content: bytes) -> Iterator[Passage]:
    """Yields the texts of a picture's metadata; no pixel is decoded.

    Args:
        content: The picture's file.

    Raises:
        Damaged: It is not a picture that can be read.
    """
    if content.startswith(_PNG):
        yield from _png_passages(content)
        return
    from PIL import Image, UnidentifiedImageError

    Image.init()
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(content), formats=FORMATS) as image:
            yield from _opened_passages(image)
    except UnidentifiedImageError as error:
        raise Damaged("is damaged, or in a format that is not examined") from error
    except Exception as error:
        # Its text may quote the file, so only its type is named.
        raise Damaged(f"cannot be read as a picture ({type(error).__name__})") from error


def embedded_pictures(text: str) -> tuple[str, list[bytes]]:
    """Takes base64 out of a text.

    Returns:
        The text with blanks in their place, and the files among them that begin as pictures do.
    """
    if len(text) < _LEAST_EMBEDDED:
        return text, []
    found: list[bytes] = []

    def take(match: re.Match[str]) -> str:
        encoded = match[0].rstrip("=")
        encoded = encoded[: len(encoded) - (len(encoded) % 4 == 1)]
        try:
            content = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
        except binascii.Error:
            content = b""
        if starts_as_picture(content):
            found.append(content)
        return " " * len(match[0])

    return _EMBEDDED.sub(take, text), found


def _opened_passages(image: ImageFile.ImageFile) -> Iterator[Passage]:
    for name, data in getattr(image, "applist", ()):  # every segment of a JPEG, repeated ones too
        if name == "COM":
            yield from _value_passages("JPEG comment", "", data)
        elif name == "APP1" and data.startswith(b"http"):
            yield from _xmp_passages(data.partition(b"\0")[2])
        elif (
            name.startswith("APP")
            and name != "APP13"
            and not data.startswith((b"Exif", b"ICC_PROFILE", b"JFIF", b"Adobe", b"MPF"))
        ):
            yield from _value_passages(f"JPEG segment {name}", "", data)
    if image.format != "JPEG":
        if "xmp" in image.info and image.format != "TIFF":  # a TIFF's is a tag
            yield from _xmp_passages(image.info["xmp"])
        if "comment" in image.info:
            yield from _value_passages("comment", "", image.info["comment"])
    if image.format == "TIFF":
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            page = f"page {frame + 1}, " if frame else ""
            yield from _tag_passages(dict(getattr(image, "tag_v2", {})), f"{page}TIFF tag", tiff=True)
        image.seek(0)
    yield from _exif_passages(image.getexif(), tiff=image.format == "TIFF")
    yield from _iptc_passages(image)


def _iptc_passages(image: ImageFile.ImageFile) -> Iterator[Passage]:
    from PIL import IptcImagePlugin

    for (record, number), value in (IptcImagePlugin.getiptcinfo(image) or {}).items():
        if record == _IPTC_RECORD:
            for one in value if isinstance(value, list) else [value]:
                yield from _value_passages(f"IPTC {record}:{number}", _IPTC_LABELS.get(number, ""), one)


def _exif_passages(exif: Image.Exif, *, tiff: bool = False) -> Iterator[Passage]:
    if not tiff:  # a TIFF's tags are read page by page
        yield from _tag_passages(dict(exif), "EXIF")
    yield from _tag_passages(exif.get_ifd(_EXIF), "EXIF")
    position = exif.get_ifd(_GPS)
    if _LATITUDE in position:
        yield Passage("EXIF GPSLatitude", "latitude and longitude", kind=Kind.LOCATION)
    from PIL.ExifTags import GPSTAGS

    for tag, value in position.items():
        if isinstance(value, str):
            yield from _value_passages(f"EXIF {GPSTAGS.get(tag, tag)}", GPSTAGS.get(tag, ""), value)


def _tag_passages(tags: dict[Any, Any], place: str, *, tiff: bool = False) -> Iterator[Passage]:
    from PIL.ExifTags import TAGS
    from PIL.TiffTags import lookup

    for tag, value in tags.items():
        if tag in _BINARY_TAGS:
            continue
        name = lookup(tag).name if tiff else TAGS.get(tag, "")
        called = TAGS.get(tag, name)
        if called in ("XMLPacket", "XMP"):
            yield from _xmp_passages(_as_bytes(value))
            continue
        shown = f"{place} {called if called and called != 'unknown' else tag}"
        label = "author name" if called in _AUTHORS else called
        for one in value if isinstance(value, tuple) and all(isinstance(part, str) for part in value) else (value,):
            yield from _value_passages(shown, label, one)


def _value_passages(place: str, label: str, value: Any) -> Iterator[Passage]:
    """Passages of a text, or of what is text in bytes."""
    if isinstance(value, tuple | list):
        value = _as_bytes(value)
    if isinstance(value, bytes):
        value = _printable(value)
    if isinstance(value, str):
        value = _repaired(value).strip("\0 ")
        yield from markup_passages(value) if value.startswith("<") else lines(value, place, label)


def _repaired(value: str) -> str:
    """A tag's text, which Pillow reads as Latin-1, as UTF-8 where it is that."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _as_bytes(value: Any) -> bytes:
    """A tag's value as bytes; empty where it is not made of them."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    numbers = value if isinstance(value, tuple | list) else ()
    return bytes(numbers) if all(isinstance(one, int) and 0 <= one < 256 for one in numbers) else b""


def _printable(value: bytes) -> str:
    """The text in bytes of an unknown encoding: what is not printable divides it into lines."""
    if value.startswith(_CODES):
        value = value[8:]
    zeros = value.count(0)
    if len(value) > 3 and zeros * 3 > len(value) and (zeros == value[1::2].count(0) or zeros == value[::2].count(0)):
        return value.decode("utf-16-le" if value[1] == 0 else "utf-16-be", "replace").replace("\0", "\n")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+", "\n", text)


def _xmp_passages(packet: bytes) -> Iterator[Passage]:
    for passage in markup_passages(decode(packet) or ""):
        yield Passage(f"XMP, {passage.place}", passage.text, _author(passage.label))


def _author(label: str) -> str:
    return "author name" if label.lower() in ("creator", "author", "ownername", "artist") else label


def _png_passages(content: bytes) -> Iterator[Passage]:
    """Yields the texts of all chunks; Pillow would decode the pixels to reach those behind them."""
    for kind, data in _chunks(content):
        if kind == b"tIME" and len(data) == 7:
            year, month, day = int.from_bytes(data[:2]), data[2], data[3]
            yield Passage("PNG chunk tIME", f"{year:04}-{month:02}-{day:02}", "date")
        elif kind == b"eXIf":
            from PIL import Image

            exif = Image.Exif()
            try:
                exif.load(data)
                yield from list(_exif_passages(exif))
            except Exception as error:
                raise Damaged(f"its EXIF cannot be read ({type(error).__name__})") from error
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = data.partition(b"\0")
            label = keyword.decode("latin-1")
            place = f"PNG {kind.decode()} {label}"
            text = _chunk_text(kind, rest)
            if label == "XML:com.adobe.xmp":
                yield from _xmp_passages(text)
            else:
                yield from _value_passages(place, "author name" if label in _AUTHORS else label, text)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_PNG)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        if position + 12 + length > len(content):
            break
        yield kind, content[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length
    raise Damaged("ends within a PNG chunk")


def _chunk_text(kind: bytes, rest: bytes) -> bytes:
    if kind == b"tEXt":
        return rest
    packed = True
    if kind == b"zTXt":
        rest = rest[1:]
    else:
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]  # behind language and translated keyword
    if not packed:
        return rest
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(rest, MAX_TEXT_BYTES)
    except zlib.error as error:
        raise Damaged("its compressed text cannot be read") from error
    if unpacker.unconsumed_tail:
        raise Damaged(f"its compressed text is larger than {MAX_TEXT_BYTES} bytes")
    return text


def starts_as_picture(content: bytes) -> bool:
    """Whether a file begins as the usual formats of pictures do."""
    return content.startswith(_SIGNATURES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
