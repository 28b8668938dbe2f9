from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset

from mevlip_validation.cli.score import score
from mevlip_validation.phi import scan as scanning
from mevlip_validation.phi.dicom import ATTRIBUTES
from mevlip_validation.phi.identifiers import Kind, mask
from mevlip_validation.phi.scan import Scan, scan
from tests.conftest import EXAMPLES, FLARE_DATA, ROOT, needs_flare_data
from tests.mevlip.real_pictures import PICTURES
from tests.validation.phi.lines import HARMLESS
from tests.validation.phi.planting import PLANTED, WRITERS, Planted


def scan_quietly(*paths: Path) -> Scan:
    return scan(paths, quiet=True)


def kinds(found: Scan) -> list[Kind]:
    return [finding.kind for finding in found.findings]


PROSE_LINES = [line for line in HARMLESS if "12:" not in line]
"""Without log lines, whose times are a program's own only at the start of a line in a file of text."""
PROSE = st.lists(st.sampled_from(PROSE_LINES), max_size=2).map("; ".join)
"""Apart from each other: `Head First` and `Name: White Matter` would be a first name."""


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=min(15, settings.default.max_examples))
@given(PROSE, PLANTED, PROSE)
def test_an_identifier_planted_anywhere_is_found_and_not_shown(
    name: str, before: str, planted: Planted, behind: str
) -> None:
    kind, label, value = planted
    text = f"{before.rstrip('.')}; {label}{value}; {behind}"
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder, name), text)
        found = scan_quietly(Path(folder))
    assert not found.unexamined
    assert [(one.kind, one.finding) for one in found.findings] == [(kind, mask(value))], text
    written = json.dumps(found.as_json(), ensure_ascii=False)
    assert value not in written, "the scan's own output gives the finding away"


@pytest.mark.parametrize("name", WRITERS)
def test_harmless_lines_have_no_finding_in_any_file(tmp_path: Path, name: str) -> None:
    for index, line in enumerate(HARMLESS if name == "plain.txt" else PROSE_LINES):
        folder = tmp_path / str(index)
        folder.mkdir()
        WRITERS[name](folder / name, line)
    found = scan_quietly(tmp_path)
    assert found.findings == [] and found.unexamined == []


STRUCTURED = {
    "a.json": '[{"patient_name": "Jane Doe", "mrn": 1234567, "patient": {"dob": "19800102"}, "image": "a.png"}]',
    "fhir.json": '{"name": [{"family": "Doe"}], "patientId": "1234567", "birthDate": "1980-01-02"}',
    "a.jsonl": '{"PatientName": "Jane Doe", "MRN": "1234567", "DateOfBirth": "01/02/1980"}\n',
    "a.csv": "image,Patient Name,MRN,DOB\na.png,Jane Doe,1234567,19800102\n",
    "semicolons.csv": "image;Patient Name;MRN;DOB\na.png;Jane Doe;1234567;1.2.1980\n",
    "no_header.csv": "Patient name,Jane Doe\nMRN,1234567\nDOB,19800102\n",
    "a.xml": "<?xml version='1.0'?><r><PatientName>Jane Doe</PatientName><MRN>1234567</MRN><dob>19800102</dob></r>",
    "a.html": "<table><tr><th>Patient name</th><th>MRN</th><th>DOB</th></tr>"
    "<tr><td>Jane <b>Doe</b></td><td>1234567</td><td>19800102</td></tr></table>",
    "rows.html": "<table><tr><th>Patient</th><td>Jane Doe</td></tr><tr><th>MRN</th><td>1234567</td></tr>"
    "<tr><th>DOB</th><td>19800102</td></tr></table>",
    "list.html": "<dl><dt>Patient name</dt><dd>Jane Doe</dd><dt>MRN</dt><dd>1234567</dd></dl><p>DOB: 19800102</p>",
    "meta.html": '<meta name="patient name" content="Jane Doe"><input name="mrn" value="1234567"><p>DOB 19800102</p>',
    "a.md": "| Patient name | MRN | DOB |\n| --- | --- | --- |\n| Jane Doe | 1234567 | 19800102 |\n",
    "above.txt": "Patient:\nJane Doe\nMRN:\n1234567\nDate of birth:\n19800102\n",
    "a.log": "patient_name='Jane Doe' mrn=1234567 dob=19800102\n",
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_keys_columns_tags_and_headings_are_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(STRUCTURED[name], "utf-8")
    assert sorted(kinds(scan_quietly(tmp_path))) == sorted([Kind.NAME, Kind.RECORD_NUMBER, Kind.DATE])


def test_a_finding_names_its_record_and_field(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text(json.dumps([{"Answer": "A"}, {"Answer": "Normal.\nMRN: 1234567"}]))
    (tmp_path / "a.csv").write_text("image,note\na.png,ok\nb.png,MRN 1234567\n")
    (tmp_path / "a.txt").write_text("first\r\nsecond, MRN 1234567\n")
    found = {Path(one.file).name: one.place for one in scan_quietly(tmp_path).findings}
    assert found == {
        "predictions.json": "[1].Answer, line 2", "a.csv": "line 3, column note", "a.txt": "line 2",
    }  # fmt: skip


def test_the_time_of_a_json_log_line_is_the_programs_own(tmp_path: Path) -> None:
    line = {"time": "2026-11-26T12:38:00Z", "level": "INFO", "message": "done"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    assert scan_quietly(tmp_path).findings == []
    (tmp_path / "a.jsonl").write_text(json.dumps({**line, "level": "high"}) + "\n")
    assert kinds(scan_quietly(tmp_path)) == [Kind.DATE]


def test_names_of_files_are_searched_and_masked(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "MRN_1234567.png")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("Doe^Jane/scan_2021-03-04.txt", "normal")
        archive.writestr("Doe^Jane/b.txt", "normal")
    (tmp_path / "Doe^John").mkdir()
    (tmp_path / "Doe^John/c.txt").touch()
    found = scan_quietly(tmp_path)
    assert sorted(kinds(found)) == sorted([Kind.RECORD_NUMBER, Kind.NAME, Kind.NAME, Kind.DATE])
    shown = json.dumps(found.as_json())
    assert "1234567" not in shown and "Doe" not in shown and "2021" not in shown


def test_a_position_is_found_in_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)})
    exif.get_ifd(0x8769)[0x9003] = "2021:03:04 10:11:12"
    exif[0x013B] = "Jane Doe"
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert sorted(kinds(scan_quietly(tmp_path))) == sorted([Kind.LOCATION, Kind.DATE, Kind.NAME])


def iptc(*datasets: tuple[int, bytes]) -> bytes:
    return b"".join(b"\x1c\x02" + bytes([number]) + len(value).to_bytes(2) + value for number, value in datasets)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_the_iptc_fields_of_a_photograph_are_read(tmp_path: Path, kind: str) -> None:
    fields = iptc((80, b"Jane Doe"), (55, b"20210304"), (120, b"Left hand, MRN: 1234567"), (25, b"hand"), (25, b"skin"))
    picture, path = Image.new("RGB", (4, 4)), tmp_path / "photograph"
    if kind == "TIFF":
        picture.save(path, kind, tiffinfo={33723: fields})
    else:
        picture.save(path, kind)
        resource = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(fields).to_bytes(4) + fields + b"\0" * (len(fields) % 2)
        segment = b"\xff\xed" + (len(resource) + 2).to_bytes(2) + resource
        content = path.read_bytes()
        path.write_bytes(content[:2] + segment + content[2:])
    found = scan_quietly(tmp_path)
    assert sorted(kinds(found)) == sorted([Kind.NAME, Kind.DATE, Kind.RECORD_NUMBER]) and not found.unexamined
    assert {one.place for one in found.findings} == {"IPTC 2:80", "IPTC 2:55", "IPTC 2:120"}


def test_every_comment_of_a_jpeg_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (4, 4)).save(path)
    content = path.read_bytes()
    comments = b"".join(b"\xff\xfe\x00\x0e" + text for text in (b"MRN: 1234567", b"MRN: 7654321"))
    path.write_bytes(content[:2] + comments + content[2:])
    assert kinds(scan_quietly(path)) == [Kind.RECORD_NUMBER] * 2


def test_every_page_of_a_tiff_is_read(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4)) for _ in range(3)]
    pages[2].encoderinfo = {"tiffinfo": {270: "MRN: 1234567"}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    [finding] = scan_quietly(tmp_path).findings
    assert finding.place.startswith("page 3, TIFF tag ImageDescription")


def dicom(path: Path, **values: Any) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
    return path


@pytest.mark.parametrize("keyword", ATTRIBUTES)
def test_each_confidential_attribute_of_dicom_is_found_where_it_has_a_value(tmp_path: Path, keyword: str) -> None:
    assert tag_for_keyword(keyword) is not None
    dicom(tmp_path / "a.dcm", **{keyword: "ABC12"})
    [finding] = scan_quietly(tmp_path).findings
    assert finding.kind is ATTRIBUTES[keyword] and keyword in finding.place and finding.finding == mask("ABC12")


def test_a_dicom_header_without_identifiers_has_no_finding(tmp_path: Path) -> None:
    dicom(
        tmp_path / "a.dcm",
        PatientName="Anonymous", PatientID="", StudyDate="", PatientBirthDate="", PatientSex="F", PatientAge="045Y",
        StudyInstanceUID="1.2.840.113619.2.55.3.2831.183.1234567", StudyDescription="CT CHEST W/O CONTRAST",
        SoftwareVersions="2021-03-04", Manufacturer="ACME", ManufacturerModelName="Deep Vision",
    )  # fmt: skip
    found = scan_quietly(tmp_path)
    assert found.findings == [] and found.unexamined == [] and found.examined == {"DICOM files": 1}


def test_names_dates_and_private_text_in_dicom_are_found_however_deep(tmp_path: Path) -> None:
    inner = pydicom.Dataset()
    inner.PersonName = "Doe^Jane"
    inner.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "MRN: 1234567")
    dicom(tmp_path / "a.dcm", ContentSequence=[inner], ContentDate="20210304", BurnedInAnnotation="YES")
    found = sorted(kinds(scan_quietly(tmp_path)))
    assert found == sorted([Kind.NAME, Kind.RECORD_NUMBER, Kind.DATE, Kind.BURNED_IN])


def test_a_real_dicom_file_is_read_to_its_end_and_logged_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    with caplog.at_level(logging.DEBUG):
        found = scan_quietly(Path(path))
    assert {"(0010,0010) PatientName", "(0010,0020) PatientID", "(0008,0020) StudyDate"} <= {
        one.place for one in found.findings
    }
    assert found.examined == {"DICOM files": 1} and found.unexamined == [] and caplog.text == ""


def test_dicom_without_pydicom_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "a.dcm", PatientID="1234567")
    (tmp_path / "b.txt").write_text("MRN: 1234567")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    found = scan_quietly(tmp_path)
    assert kinds(found) == [Kind.RECORD_NUMBER], "the other file is scanned all the same"
    [left] = found.unexamined
    assert left.file.endswith("a.dcm") and "pip install pydicom" in left.reason


def encrypted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "MRN: 1234567")
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def packed_as_bzip2(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.txt", "0" * 1000)


def deflated_dicom(path: Path) -> None:
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99" + b"\0" * 100)


def cut(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-200])


LEFT_OUT = {
    "pipe": (os.mkfifo, "not a regular file"),
    "letter.pdf": (lambda path: path.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 8), "not examined"),
    "secret.zip": (encrypted, "is encrypted"),
    "rare.zip": (packed_as_bzip2, "another method"),
    "deflated.dcm": (deflated_dicom, "is deflated DICOM"),
    "damaged.zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(range(256))), "not examined"),
    "cut.png": (cut, "ends within a PNG chunk"),
    "noise.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(200))), "damaged"),
    "broken.dcm": (lambda path: path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64), "DICOM"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "is a link that leaves"),
    "folder link": (lambda path: path.symlink_to("/etc"), "is a link that leaves"),
    ".git": (Path.mkdir, "version history"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.timeout(120)  # a pipe without a writer would block for ever
def test_what_cannot_be_examined_is_named_and_the_rest_scanned(tmp_path: Path, name: str) -> None:
    write, reason = LEFT_OUT[name]
    write(tmp_path / name)
    (tmp_path / "z.txt").write_text("MRN: 1234567")
    found = scan_quietly(tmp_path)
    assert kinds(found) == [Kind.RECORD_NUMBER]
    [left] = found.unexamined
    assert Path(left.file).name in (name, "a.txt") and reason in left.reason


def test_a_link_to_itself_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "z.txt").write_text("MRN: 1234567")
    found = scan_quietly(tmp_path)
    assert kinds(found) == [Kind.RECORD_NUMBER] and found.unexamined == []


def test_a_link_within_the_folders_is_read_once_in_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.txt").write_text("MRN: 1234567")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c.txt").symlink_to(tmp_path / "a/x.txt")
    found = scan_quietly(tmp_path, tmp_path / "a", tmp_path / "a/x.txt")
    assert [one.file for one in found.findings] == [str(tmp_path / "a/x.txt")] and found.unexamined == []


def test_sizes_are_bounded_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "MAX_BYTES", 1000)
    (tmp_path / "large.txt").write_text("MRN: 1234567 " * 100)
    (tmp_path / "exact.txt").write_text("." * 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", "0" * 1001)
        archive.writestr("fine.txt", "MRN: 1234567")
    opened = zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile, "open",
        lambda self, member, *rest: pytest.fail("unpacked") if member.file_size > 1000 else opened(self, member, *rest),
    )  # fmt: skip
    found = scan_quietly(tmp_path)
    assert [Path(one.file).name for one in found.unexamined] == ["bomb.txt", "large.txt"]
    assert all("is larger than the allowed" in one.reason for one in found.unexamined)
    assert [Path(one.file).name for one in found.findings] == ["fine.txt"]


@pytest.mark.parametrize(("bound", "value"), [("MAX_MEMBERS", 3), ("MAX_ARCHIVE_BYTES", 30)])
def test_what_an_archive_unpacks_to_is_bounded_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(10):
            archive.writestr(f"{index}.txt", "0123456789")
    made = {"unpacked": scanning.MAX_ARCHIVE_BYTES, "members": scanning.MAX_MEMBERS}
    made["members" if bound == "MAX_MEMBERS" else "unpacked"] = value
    monkeypatch.setattr(scanning, "_Budget", lambda real=scanning._Budget: real(**made))
    found = scan_quietly(tmp_path)
    assert found.examined["text files"] == 3 and len(found.unexamined) == 1


def test_archives_in_archives_end_somewhere(tmp_path: Path) -> None:
    WRITERS["nested.zip"](tmp_path / "a.zip", "MRN: 1234567")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a.zip", "a.zip")
    found = scan_quietly(tmp_path / "b.zip")
    assert found.findings == [] and "deeper than 3" in found.unexamined[0].reason


def test_a_member_that_unpacks_to_more_than_it_says_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"0" * (50 << 20))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    found = scan_quietly(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20 and len(found.unexamined) + found.examined["text files"] == 1


@pytest.mark.timeout(120)  # a hang; each takes about a second
@pytest.mark.parametrize(
    "piece",
    ["<br>", "<p>", "<a ", "<!--", "</i>", "<li><b>", "<![", "<x:y>", "&", "<script>", "{", "[", '"', "|a|\n", "a:\n"],
)
@pytest.mark.parametrize("name", ["a.html", "a.md"])
def test_repetitions_do_not_hold_the_scan_up(tmp_path: Path, name: str, piece: str) -> None:
    (tmp_path / name).write_text(piece * 3_000 + "</i>" * 1000)
    scan_quietly(tmp_path)


def test_names_that_a_terminal_would_obey_are_shown_harmless(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"\x1b[2J\n": "MRN: 1234567"}))
    [finding] = scan_quietly(tmp_path).findings
    assert finding.place.isprintable()


@given(
    st.binary(max_size=400),
    st.sampled_from(["a.txt", "a.json", "a.csv", "a.html", "a.png", "a.dcm", "a.zip", "a"]),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"PK\x03\x04", b"<", b"[", b"\xff\xfe"]),
)
def test_any_bytes_are_examined_or_named(content: bytes, name: str, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(start + content)
        found = scan_quietly(Path(folder))
    assert sum(found.examined.values()) + len(found.unexamined) >= 1


def test_real_photographs_are_read_without_a_finding(tmp_path: Path) -> None:
    photographs = [picture.put(tmp_path) for picture in PICTURES if picture.source]
    found = scan_quietly(tmp_path)
    assert found.findings == [] and found.unexamined == []
    assert found.examined == {"pictures": len(photographs)} and photographs


def test_the_examples_and_the_guides_have_no_finding() -> None:
    found = scan_quietly(EXAMPLES.parent, ROOT / "docs", ROOT / "README.md")
    assert found.findings == [] and found.unexamined == []
    assert found.examined["pictures"] >= 50


@pytest.mark.slow
def test_predictions_and_their_report_with_pictures_have_no_finding(tmp_path: Path) -> None:
    truths = sorted(EXAMPLES.rglob("*_withGT.json"))
    predictions = [row for path in truths for row in json.loads(path.read_bytes())]
    (tmp_path / "predictions.json").write_text(json.dumps(predictions))
    arguments = [str(tmp_path / "predictions.json"), "--truth", str(EXAMPLES), "--resamples", "10"]
    done = CliRunner().invoke(score, [*arguments, "--report", str(tmp_path / "report.html")])
    assert done.exit_code == 0, done.output
    found = scan_quietly(tmp_path)
    assert found.findings == [] and found.unexamined == []
    assert found.examined["text files"] == 2 and found.examined["pictures"] >= 50, "the report's pictures are examined"


@needs_flare_data
def test_the_challenges_questions_answers_and_reports_have_no_finding() -> None:
    found = scan_quietly(FLARE_DATA)
    assert found.findings == [] and found.unexamined == []
    assert found.examined["text files"] >= 3
