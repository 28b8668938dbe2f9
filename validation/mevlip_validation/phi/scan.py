"""Scanning files, folders and archives for what may identify a patient."""

from __future__ import annotations

import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.core.archives import BadMember, open_archive, read_member
from mevlip.core.files import NotReadable, open_regular, read_bounded, real_path
from mevlip.core.progress import Progress
from mevlip.core.text import visible
from mevlip_validation.phi.dicom import dicom_passages
from mevlip_validation.phi.identifiers import Kind, find_identifiers, mask, mask_within
from mevlip_validation.phi.passages import Passage, decode, read_passages
from mevlip_validation.phi.pictures import Damaged, embedded_pictures, picture_passages, starts_as_picture

MAX_BYTES = 256 * 1024 * 1024
"""Largest file, or member of an archive, that is read."""

MAX_ARCHIVE_BYTES = 16 * 1024 * 1024 * 1024
"""Most bytes that are unpacked of one archive, archives inside it included."""

MAX_MEMBERS = 200_000
"""Most members that are read of one archive."""

MAX_DEPTH = 3
"""How deep archives may lie in each other; an Office document is one, too."""

_DICOM_SUFFIXES = frozenset((".dcm", ".dicom", ".ima"))
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_HISTORY = frozenset((".git", ".hg", ".svn"))


@dataclass(frozen=True)
class Finding:
    """One possible identifier, masked so that a list of them can be shown.

    Attributes:
        file: The file, and the member where it is an archive; what its name gives away is masked, too.
        place: Line, record and field, column, tag or chunk.
        kind: What it may be.
        finding: The masked text.
    """

    file: str
    place: str
    kind: Kind
    finding: str


@dataclass(frozen=True)
class Unexamined:
    """A file that could not be examined, or not to its end.

    Attributes:
        file: The file.
        reason: Why.
    """

    file: str
    reason: str


@dataclass
class Scan:
    """What a scan found.

    Attributes:
        findings: Every possible identifier, in order.
        unexamined: Every file that was not, or not wholly, examined.
        examined: How many files were, by what they are; members of archives count as files.
    """

    findings: list[Finding] = field(default_factory=list)
    unexamined: list[Unexamined] = field(default_factory=list)
    examined: Counter[str] = field(default_factory=Counter)

    @property
    def files(self) -> int:
        """How many files have a finding."""
        return len({finding.file for finding in self.findings})

    @property
    def kinds(self) -> dict[str, int]:
        """How many findings there are of each kind, most frequent first."""
        return {kind.value: count for kind, count in Counter(one.kind for one in self.findings).most_common()}

    def as_json(self) -> dict[str, Any]:
        """The scan as JSON; findings are masked."""
        return {
            "examined": dict(self.examined),
            "kinds": self.kinds,
            "findings": [asdict(one) for one in self.findings],
            "unexamined": [asdict(one) for one in self.unexamined],
        }


def scan(paths: Sequence[Path], *, quiet: bool = False) -> Scan:
    """Scans files and folders.

    Only regular files are opened. Links inside a folder are not followed: one that leads out of the given folders is
    listed as not examined, and what another one leads to is examined in its own place.

    Args:
        paths: Files and folders.
        quiet: Whether to show no progress.
    """
    found = Scan()
    files = list(_walk(paths, found))
    with Progress("scanning", max(1, len(files)), "files", quiet) as progress:
        for path in files:
            _scan_file(path, found)
            progress.advance()
    return found


def _walk(paths: Sequence[Path], found: Scan) -> Iterator[Path]:
    """Yields every regular file once, in the order of names."""
    roots = [real_path(path) for path in paths]
    seen: set[Path] = set()

    def fail(error: OSError) -> None:
        _leave_out(found, str(error.filename), f"cannot be read ({error.strerror})")

    for path in paths:
        if not path.is_dir():
            inside: Iterable[Path] = [path]
        else:
            inside = _files_below(path, found, fail)
        for file in inside:
            try:
                resolved = real_path(file)
                if file.is_symlink() and file not in paths:
                    if not any(resolved.is_relative_to(root) for root in roots):
                        _leave_out(found, str(file), "is a link that leaves the given folders")
                    continue
            except OSError as error:
                fail(error)
                continue
            if resolved not in seen:
                seen.add(resolved)
                yield file


def _files_below(root: Path, found: Scan, fail: Callable[[OSError], None]) -> Iterator[Path]:
    for current, folders, names in os.walk(root, onerror=fail):
        folder = Path(current)
        linked = sorted(name for name in folders if (folder / name).is_symlink())
        for name in _HISTORY.intersection(folders):
            _leave_out(found, str(folder / name), "version history is not examined")
        folders[:] = sorted({*folders} - _HISTORY - {*linked})
        for name in folders:
            _find_in_name(name, str(folder / name), found, "folder name")
        yield from (folder / name for name in sorted([*names, *linked]))


def _scan_file(path: Path, found: Scan) -> None:
    """Scans one file on the disk; an archive is read where it lies, however large it is."""
    name = str(path)
    try:
        with open_regular(path, sys.maxsize) as file:
            if file.read(4).startswith(_ZIP) and zipfile.is_zipfile(file):
                _find_in_name(path.name, name, found)
                _scan_archive(file, name, found, 1, _Budget())
                return
        content = read_bounded(path, MAX_BYTES)
    except NotReadable as error:
        _leave_out(found, name, str(error.strerror))
        return
    except OSError as error:
        _leave_out(found, name, f"cannot be read ({error.strerror})")
        return
    _scan_content(path.name, content, name, found, 0, _Budget())


@dataclass
class _Budget:
    """What may still be unpacked of one archive, and the folders in it whose names were searched."""

    unpacked: int = MAX_ARCHIVE_BYTES
    members: int = MAX_MEMBERS
    folders: set[str] = field(default_factory=set)


def _scan_archive(source: BufferedReader | BytesIO, file: str, found: Scan, depth: int, budget: _Budget) -> None:
    if depth > MAX_DEPTH:
        _leave_out(found, file, f"lies deeper than {MAX_DEPTH} archives in each other")
        return
    try:
        with open_archive(source) as archive:
            found.examined["archives"] += 1
            if archive.comment:
                _find(Passage("archive comment", archive.comment.decode("utf-8", "replace")), file, found)
            for member in archive.infolist():
                if member.is_dir():
                    continue
                budget.members -= 1
                budget.unpacked -= member.file_size
                if budget.members < 0 or budget.unpacked < 0:
                    _leave_out(found, file, f"holds more than {MAX_MEMBERS} files or {MAX_ARCHIVE_BYTES} bytes")
                    return
                for name in {*PurePosixPath(member.filename).parts[:-1]} - budget.folders:
                    budget.folders.add(name)
                    _find_in_name(name, file, found, "folder name")
                _scan_member(archive, member, f"{file}/{member.filename}", found, depth, budget)
    except Exception as error:  # noqa: BLE001 - zipfile raises many kinds on damaged directories
        _leave_out(found, file, f"is not a readable archive ({type(error).__name__})")


def _scan_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: str, found: Scan, depth: int, budget: _Budget
) -> None:
    try:
        content = read_member(archive, member, MAX_BYTES)
    except BadMember as error:
        _leave_out(found, file, str(error))
        return
    _scan_content(PurePosixPath(member.filename).name, content, file, found, depth, budget)


def _scan_content(name: str, content: bytes, file: str, found: Scan, depth: int, budget: _Budget) -> None:
    """Scans the bytes of a file by what they are; its name is searched, too."""
    _find_in_name(name, file, found)
    if content.startswith(_ZIP) and zipfile.is_zipfile(BytesIO(content)):
        _scan_archive(BytesIO(content), file, found, depth + 1, budget)
        return
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if content[128:132] == b"DICM" or (suffix in _DICOM_SUFFIXES and content):
            kind, passages = "DICOM files", dicom_passages(content)
        elif starts_as_picture(content):
            kind, passages = "pictures", picture_passages(content)
        elif (text := decode(content)) is not None:
            kind, passages = "text files", read_passages(suffix, text)
        else:
            kind, passages = "pictures", picture_passages(content)
        for passage in passages:
            _find(passage, file, found)
    except ModuleNotFoundError as error:
        _leave_out(found, file, f"needs {error.name}, which is not installed: pip install {error.name}")
    except Damaged as error:
        _leave_out(found, file, str(error))
    else:
        found.examined[kind] += 1


def _find_in_name(name: str, file: str, found: Scan, place: str = "file name") -> None:
    _find(Passage(place, name), file, found)


def _find(passage: Passage, file: str, found: Scan) -> None:
    """Adds the findings of one passage, those in the metadata of pictures that it embeds included."""
    text, pictures = embedded_pictures(passage.text)
    if passage.kind is not None:
        spans = [(passage.kind, passage.text)]
    else:
        spans = [(one.kind, text[one.start : one.end]) for one in find_identifiers(text, passage.label)]
    if spans or pictures:
        shown, place = visible(mask_within(file)), visible(mask_within(passage.place))
        found.findings += [Finding(shown, place, kind, visible(mask(value))) for kind, value in spans]
        for number, content in enumerate(pictures, 1):
            where = f"{place}, embedded picture {number}"
            try:
                for inner in picture_passages(content):
                    _find(Passage(f"{where}, {inner.place}", inner.text, inner.label, inner.kind), file, found)
            except Damaged as error:
                _leave_out(found, file, f"{where} {error}")
            else:
                found.examined["pictures"] += 1


def _leave_out(found: Scan, file: str, reason: str) -> None:
    found.unexamined.append(Unexamined(visible(mask_within(file)), visible(reason)))
