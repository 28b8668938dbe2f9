"""Identifiers of every kind, and every kind of file that one can be planted in."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pydicom
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from pydicom.dataset import FileMetaDataset

from mevlip_validation.phi.identifiers import Kind

Planted = tuple[Kind, str, str]
"""Kind, text in front and identifier."""

_FIRST = ("Jane", "John", "Anne-Marie", "José", "Wei", "Priya")
_LAST = ("Doe", "Smith", "O'Neill", "Müller", "Zhang", "Iyer")
_MONTHS = ("January", "Feb", "March", "October")


def _valid_resident(digits: str) -> str:
    total = sum(pow(2, 17 - index, 11) * int(digit) for index, digit in enumerate(digits))
    return digits + "10X98765432"[total % 11]


_days = st.dates(min_value=date(1920, 1, 1), max_value=date(2049, 12, 31))
_number = st.integers(10_000, 9_999_999_999).map(str)
_area = st.integers(200, 999)
_last_four = st.integers(0, 9999).map("{:04}".format)
_names = st.tuples(st.sampled_from(_FIRST), st.sampled_from(_LAST))

PLANTED: st.SearchStrategy[Planted] = st.one_of(
    st.tuples(
        st.just(Kind.RECORD_NUMBER),
        st.sampled_from(["MRN: ", "MRN ", "Medical record number: ", "Patient ID: ", "Accession #: ", "MR# "]),
        _number,
    ),
    st.tuples(
        st.just(Kind.PHONE),
        st.sampled_from(["", "Tel. ", "call "]),
        st.tuples(st.sampled_from(["({}) {}-{}", "{}-{}-{}", "+1 {} {} {}", "{}.{}.{}"]), _area, _area, _last_four).map(
            lambda parts: parts[0].format(*parts[1:])
        ),
    ),
    st.tuples(
        st.just(Kind.EMAIL),
        st.sampled_from(["", "mail "]),
        st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?@[a-z]{2,8}\.(org|edu|com)", fullmatch=True),
    ),
    st.tuples(
        st.just(Kind.DATE),
        st.sampled_from(["", "on ", "Date: "]),
        st.tuples(_days, st.sampled_from(["{0:%Y-%m-%d}", "{0:%d.%m.%Y}", "{0:%m/%d/%Y}", "{0.day} {1} {0.year}"]),
                  st.sampled_from(_MONTHS)).map(lambda parts: parts[1].format(parts[0], parts[2])),
    ),
    st.tuples(st.just(Kind.NAME), st.sampled_from(["Patient: ", "Patient name: ", "Dr. ", "signed by "]),
              _names.map(" ".join)),
    st.tuples(st.just(Kind.NAME), st.just(""), _names.map(lambda name: f"{name[1]}^{name[0]}")),
    st.tuples(st.just(Kind.NATIONAL_ID), st.sampled_from(["", "SSN "]),
              st.tuples(st.integers(1, 665), st.integers(1, 99), st.integers(1, 9999)).map(
                  lambda parts: "{:03}-{:02}-{:04}".format(*parts))),
    st.tuples(st.just(Kind.NATIONAL_ID), st.just("ID card "),
              st.tuples(_days, st.integers(0, 999)).map(
                  lambda parts: _valid_resident(f"110105{parts[0]:%Y%m%d}{parts[1]:03}"))),
)  # fmt: skip


def _picture(path: Path, **options: object) -> None:
    Image.new("RGB", (8, 6), (90, 120, 60)).save(path, **options)


def _png(kind: str) -> Callable[[Path, str], None]:
    def write(path: Path, text: str) -> None:
        info = PngImagePlugin.PngInfo()
        if kind == "XMP":
            info.add_itxt("XML:com.adobe.xmp", _xmp(text).decode())
        elif kind == "iTXt":
            info.add_itxt("Comment", text, zip=True)
        elif kind == "behind the pixels":
            info.add(b"tEXt", b"Comment\0" + text.encode("utf-8"), after_idat=True)
        else:
            info.add(kind.encode(), _chunk(kind, text))
        _picture(path, pnginfo=info)

    return write


def _chunk(kind: str, text: str) -> bytes:
    return b"Comment\0" + (b"\0" + zlib.compress(text.encode()) if kind == "zTXt" else text.encode())


def _exif(tag: int, *, user_comment: bool = False) -> Callable[[Path, str], None]:
    def write(path: Path, text: str) -> None:
        exif = Image.Exif()
        if user_comment:
            exif.get_ifd(0x8769)[tag] = b"UNICODE\0" + text.encode("utf-16-le")
        else:
            exif[tag] = text if text.isascii() else text.encode()  # Pillow writes question marks for other letters
        _picture(path, exif=exif)

    return write


def _xmp(text: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        "<rdf:Description><dc:description><rdf:Alt><rdf:li>"
        f"{html.escape(text)}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def _csv(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "finding"), ("a.png", text), ("b.png", "normal")])


def _dicom(path: Path, text: str) -> None:
    inner = pydicom.Dataset()
    inner.add_new(0x00081080, "LO", "text below")
    inner.ImageComments = text
    dataset = pydicom.Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.ReferencedImageSequence = [inner]
    dataset.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)


def _zip(path: Path, text: str, depth: int = 1) -> None:
    content = text.encode()
    name = "notes.txt"
    for _ in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"folder/{name}", content)
        content, name = file.getvalue(), "inner.zip"
    path.write_bytes(content)


def _docx(path: Path, text: str) -> None:
    half = len(text) // 2
    runs = "".join(f"<w:r><w:t>{html.escape(part)}</w:t></w:r>" for part in (text[:half], text[half:]))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", f"<?xml version='1.0'?><w:document><w:p>{runs}</w:p></w:document>")


def _embedded(path: Path, text: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(file, "JPEG", comment=text.encode())
    data = base64.b64encode(file.getvalue()).decode()
    path.write_text(f'<html><body><img src="data:image/jpeg;base64,{data}"></body></html>', "utf-8")


def _text(form: str, encoding: str = "utf-8") -> Callable[[Path, str], None]:
    return lambda path, text: path.write_text(form.replace("TEXT", text), encoding)


def _markup(form: str) -> Callable[[Path, str], None]:
    return lambda path, text: path.write_text(form.replace("TEXT", html.escape(text)), "utf-8")


def _json(make: Callable[[str], object], lines: bool = False) -> Callable[[Path, str], None]:
    def write(path: Path, text: str) -> None:
        rows = [{"Question": "Which is it?", "Answer": "B"}, make(text)]
        path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1), "utf-8")

    return write


WRITERS: dict[str, Callable[[Path, str], None]] = {
    "plain.txt": _text("Findings:\nTEXT\nNormal.\n"),
    "utf16.txt": _text("Findings:\r\nTEXT\r\n", "utf-16"),
    "run.log": _text("2026-11-26 12:38:00,123 INFO start\n2026-11-26 12:38:01,000 ERROR TEXT\n"),
    "without_ending": _text("TEXT"),
    "page.md": _text("# Report\n\n- **Finding** TEXT\n"),
    "table.md": _text("| image | note |\n|---|---|\n| a.png | TEXT |\n"),
    "page.html": _markup("<!doctype html><html><body><h1>Report</h1><p>Seen: <i>TEXT</i></p></body></html>"),
    "attribute.html": _markup('<html><img alt="TEXT" src="a.png"></html>'),
    "comment.html": _text("<html><!-- TEXT --><body></body></html>"),
    "script.html": lambda path, text: path.write_text(
        f'<html><script type="application/json">{json.dumps([{"note": text}])}</script></html>', "utf-8"
    ),
    "table.html": _markup("<table><tr><th>image</th><th>note</th></tr><tr><td>a</td><td>TEXT</td></tr></table>"),
    "data.xml": _markup("<?xml version='1.0'?><record><note>TEXT</note></record>"),
    "predictions.json": _json(lambda text: {"Question": "Write a report.", "Answer": text, "ImageName": "a.png"}),
    "nested.json": _json(lambda text: {"a": [{"b": {"c": ["x", text]}}]}),
    "key.json": _json(lambda text: {text: 1}),
    "broken.json": _text('[{"Answer": "TEXT"'),
    "journal.jsonl": _json(lambda text: {"key": "0", "answer": text}, lines=True),
    "table.csv": _csv,
    "table.tsv": _text("image\tnote\na.png\tTEXT\n"),
    "archive.zip": _zip,
    "nested.zip": lambda path, text: _zip(path, text, depth=3),
    "letter.docx": _docx,
    "embedded.html": _embedded,
    "text.png": _png("tEXt"),
    "packed.png": _png("zTXt"),
    "unicode.png": _png("iTXt"),
    "behind.png": _png("behind the pixels"),
    "exif.png": _exif(0x010E),
    "exif.jpg": _exif(0x010E),
    "user_comment.jpg": _exif(0x9286, user_comment=True),
    "exif.webp": _exif(0x010E),
    "comment.jpg": lambda path, text: _picture(path, comment=text.encode()),
    "xmp.jpg": lambda path, text: _picture(path, xmp=_xmp(text)),
    "xmp.webp": lambda path, text: _picture(path, xmp=_xmp(text)),
    "xmp.png": _png("XMP"),
    "xmp.tif": lambda path, text: _picture(path, tiffinfo={700: _xmp(text)}),
    "comment.gif": lambda path, text: _picture(path, comment=text.encode()),
    "tags.tif": lambda path, text: _picture(path, tiffinfo={270: text if text.isascii() else text.encode()}),
    "header.dcm": _dicom,
}
"""For each name of a file, what writes a text into a file of its kind."""
