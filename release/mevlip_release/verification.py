"""Verifies a release as its receiver has it: archive, release files and signature, without an engine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mevlip.core.files import file_sha256, read_bounded
from mevlip.core.text import visible
from mevlip_release.docker_client import InvalidImage
from mevlip_release.inspection import Inspection, inspect_archive
from mevlip_release.rehearsal import JSON as REHEARSAL
from mevlip_release.rehearsal import PAGE as REHEARSAL_PAGE
from mevlip_release.rehearsal import Check
from mevlip_release.release_files import (
    ARCHIVE_SUFFIX,
    CHECKSUMS,
    MANIFEST,
    PROVENANCE,
    SBOM,
    SIGNATURE,
    ArchiveFile,
    Release,
)
from mevlip_release.signature import read_public_key, verify_signature

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
_UNLISTED = {CHECKSUMS, SIGNATURE, REHEARSAL, REHEARSAL_PAGE}
"""Files that may lie beside a release without being listed: what lists it, or was written afterwards."""
_LIMIT = 64 << 20
"""Bytes of a release file; an SBOM has a few hundred kilobytes."""
_AGAIN = "Fetch the release again, and ask its sender where that does not help."
_PLACE, _SHOWN = 120, 60


def verify_release(folder: Path, key: Path | None = None, quiet: bool = True) -> list[Check]:
    """Verifies a release folder; every check is made that the others do not prevent.

    Args:
        folder: The folder that `mevlip image save` wrote.
        key: Public key of minisign; None to leave the signature unchecked.
        quiet: Whether to hide the progress bar.

    Returns:
        One check for signature, checksums, archive, contents, manifest, SBOM and provenance.

    Raises:
        EnvironmentProblem: The key cannot be used.
        InvalidImage: The key cannot be read.
    """
    public = read_public_key(_read(key), str(key)) if key else None
    checks = []

    def check(name: str, look: Callable[[], str]) -> None:
        try:
            checks.append(Check(name, True, look()))
        except InvalidImage as error:
            checks.append(Check(name, False, error.cause))

    signature = folder / SIGNATURE
    if public:
        check("signature", lambda: _check_signature(folder, public))
    else:
        found = (
            f"{SIGNATURE} is there; --key verifies it"
            if signature.exists()
            else "not signed, or the signature was not sent"
        )
        checks.append(Check("signature", None, found))
    hashes: dict[str, str] = {}
    check("checksums", lambda: _check_sums(folder, hashes))
    read: list[Inspection] = []
    archives = sorted(path for path in folder.glob("*" + ARCHIVE_SUFFIX) if path.is_file())  # a pipe would hang
    check("archive", lambda: _check_archive(archives, read, quiet))
    if not read:
        return [*checks, *(Check(name, None, "the archive is damaged") for name in ("contents", *_DERIVED))]
    inspection = read[0]
    check("contents", lambda: _check_contents(inspection))
    release = _as_described(folder, archives[0], hashes, inspection)
    for name, look in _DERIVED.items():
        check(name, lambda look=look: look(folder, release))  # type: ignore[misc]
    return checks


def require_passed(checks: list[Check], folder: Path) -> None:
    """Raises InvalidImage naming the first failed check."""
    if failed := [check for check in checks if check.passed is False]:
        raise InvalidImage(f"{folder} is not the release that was saved: {failed[0].name}: {failed[0].detail}", _AGAIN)


def _check_signature(folder: Path, public: Any) -> str:
    comment = verify_signature(_read(folder / CHECKSUMS), _read(folder / SIGNATURE), public, SIGNATURE)
    return f"key {public.name}, comment: {comment}"


def _check_sums(folder: Path, hashes: dict[str, str]) -> str:
    """Compares every file with SHA256SUMS; keeps in `hashes` what was computed."""
    listed: dict[str, str] = {}
    text = _read(folder / CHECKSUMS).decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        parsed = _LINE.fullmatch(line)
        if parsed is None or parsed[2] in listed:
            raise InvalidImage(f"{CHECKSUMS}, line {number}, is not a hash and a new file name", _AGAIN)
        listed[parsed[2]] = parsed[1]
    if not text.endswith("\n"):
        raise InvalidImage(f"{CHECKSUMS} does not end with a line break", _AGAIN)
    for name in (MANIFEST, SBOM, PROVENANCE):
        if name not in listed:
            raise InvalidImage(f"{CHECKSUMS} does not list {name}", _AGAIN)
    present = {path.name for path in _inside(folder)}
    if surplus := sorted(present - listed.keys() - _UNLISTED):
        raise InvalidImage(f"{CHECKSUMS} does not list {surplus[0]}, which lies beside it", _AGAIN)
    for name, sha256 in listed.items():
        path = folder / name
        if not path.is_file() or path.is_symlink():
            raise InvalidImage(f"{name} is listed in {CHECKSUMS}, and is not there as a file", _AGAIN)
        hashes[name] = _hash(path)
        if hashes[name] != sha256:
            raise InvalidImage(f"{name} has another sha256 than {CHECKSUMS} lists", _AGAIN)
    after = sorted(present & {REHEARSAL, REHEARSAL_PAGE})
    return f"{len(listed)} files" + (f"; not covered: {', '.join(after)}" if after else "")


def _check_archive(archives: list[Path], read: list[Inspection], quiet: bool) -> str:
    """Reads the archive to its end, and keeps what is in it in `read`."""
    if len(archives) != 1:
        raise InvalidImage(f"There are {len(archives)} archives ({ARCHIVE_SUFFIX}), expected 1", _AGAIN)
    try:
        read.append(inspect_archive(archives[0], quiet))
    except OSError as error:
        raise InvalidImage(f"{archives[0]} cannot be read ({error.strerror})", _AGAIN) from error
    return f"{len(read[0].layers)} layers as their digests say, image {read[0].id[:19]}"


def _check_contents(inspection: Inspection) -> str:
    if inspection.unexpected:
        raise InvalidImage(f"the image contains {inspection.unexpected_summary}", _AGAIN)
    return f"{len(inspection.files.entries)} files and folders, none unexpected"


def _as_described(folder: Path, archive: Path, hashes: dict[str, str], inspection: Inspection) -> Release:
    """The release as the archive has it; what only the manifest says as far as that can be read."""
    try:
        manifest = _parse(folder / MANIFEST)
    except InvalidImage:
        manifest = {}
    tools, tests, image = (manifest.get(name) for name in ("tools", "tests", "image"))
    tag = image.get("tag") if isinstance(image, dict) else None
    return Release(
        ArchiveFile(archive.name, archive.stat().st_size, hashes.get(archive.name) or _hash(archive)),
        tag if isinstance(tag, str) and tag in inspection.tags else next(iter(inspection.tags), ""),
        inspection,
        tools if isinstance(tools, dict) else {},
        tests if isinstance(tests, list) else [],
    )


def _check_manifest(folder: Path, release: Release) -> str:
    _compare(folder / MANIFEST, release.manifest())
    passed = [isinstance(test, dict) and test.get("passed") is True for test in release.tests]
    return f"weights, layers and labels as in the archive; {sum(passed)} of {len(passed)} tests had passed"


def _check_sbom(folder: Path, release: Release) -> str:
    return f"{len(_compare(folder / SBOM, release.sbom())['components'])} components, as in the archive"


def _check_provenance(folder: Path, release: Release) -> str:
    text = release.provenance(hashlib.sha256(_read(folder / MANIFEST)).hexdigest())
    found = _compare(folder / PROVENANCE, text)["predicate"]["buildDefinition"]["resolvedDependencies"]
    code = next((one for one in found if one["name"] == "code"), None)
    commit = code["digest"]["gitCommit"] + " with uncommitted changes" * ("annotations" in code) if code else "unknown"
    return f"of this archive and manifest; commit {commit}"


_DERIVED = {"manifest": _check_manifest, "SBOM": _check_sbom, "provenance": _check_provenance}


def _compare(path: Path, expected: str) -> dict[str, Any]:
    """Returns the content of a release file.

    Raises:
        InvalidImage: It says something else than the archive.
    """
    found = _parse(path)
    try:
        difference = find_difference(_keyed(found), _keyed(json.loads(expected)))
    except RecursionError:
        difference = "it is nested too deeply"
    if difference:
        raise InvalidImage(f"{path.name} does not belong to the archive: {difference}", _AGAIN)
    return found


def _keyed(value: Any) -> Any:
    """Makes the order of components irrelevant, which another version of the library may choose otherwise."""
    if isinstance(value, dict):
        return {key: _keyed(one) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    keys = [one.get("bom-ref") or one.get("ref") if isinstance(one, dict) else None for one in value]
    if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
        return dict(zip(keys, map(_keyed, value), strict=True))
    return [_keyed(one) for one in value]


def find_difference(found: Any, expected: Any, place: str = "") -> str | None:
    """The first place in which two JSON values differ, and how; None where they do not."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in (*expected, *sorted(found.keys() - expected.keys())):
            inner = f"{place}.{key}".removeprefix(".")
            if (key in found) != (key in expected):
                return f"{visible(inner, _PLACE)} is {'missing' if key in expected else 'not in the archive'}"
            if difference := find_difference(found[key], expected[key], inner):
                return difference
        return None
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return next(filter(None, (find_difference(one, other, f"{place}[{at}]") for at, (one, other) in pairs)), None)
    if type(found) is type(expected) and found == expected:
        return None
    shown = (visible(json.dumps(value), _SHOWN) for value in (found, expected))
    return f"{visible(place, _PLACE)} is {next(shown)}, and should be {next(shown)}"


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InvalidImage(f"{path.name} is not JSON", _AGAIN) from error
    if not isinstance(content, dict):
        raise InvalidImage(f"{path.name} is not a JSON object", _AGAIN)
    return content


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _LIMIT)
    except OSError as error:
        raise InvalidImage(f"{path.name} cannot be read ({error.strerror})", _AGAIN) from error


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InvalidImage(f"{path.name} cannot be read ({error.strerror})", _AGAIN) from error


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InvalidImage(f"{folder} cannot be read ({error.strerror})", _AGAIN) from error
