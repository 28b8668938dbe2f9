"""Compares two images by what their archives contain: labels, layers, files, packages and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_checkpoint import read_checkpoint
from mevlip_release.image_files import Entry, ImageFiles
from mevlip_release.inspection import Inspection
from mevlip_release.packages import list_packages
from mevlip_release.release_files import ARCHIVE_SUFFIX

_NONE = "-"


@dataclass(frozen=True)
class Change:
    """Something that differs between two images.

    Attributes:
        kind: `label`, `layer`, `package`, `weights` or `file`.
        name: Its name or path.
        before: What the first image has, in words; None where it has nothing.
        after: What the second image has; None where it has nothing.
    """

    kind: str
    name: str
    before: str | None
    after: str | None

    @property
    def action(self) -> str:
        """What happened to it from the first image to the second."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    def row(self) -> tuple[str, str, str, str]:
        """The row of a table: kind, name, before, after."""
        return self.kind, self.name, self.before or _NONE, self.after or _NONE


@dataclass(frozen=True)
class Difference:
    """All that differs between two images.

    Attributes:
        changes: The changes, by kind and name.
        equal: How many of each kind are equal in both.
    """

    changes: tuple[Change, ...]
    equal: Mapping[str, int]

    def summary(self) -> list[str]:
        """One line for each kind: how many were added, removed and changed, and how many are equal."""
        counts = Counter((change.kind, change.action) for change in self.changes)
        return [
            f"{kind}: "
            + ", ".join(f"{counts[kind, action]} {action}" for action in ("added", "removed", "changed"))
            + f", {equal} equal"
            for kind, equal in self.equal.items()
        ]

    def plain(self) -> dict[str, Any]:
        """Returns everything as plain values for JSON."""
        changes = [{**asdict(change), "action": change.action} for change in self.changes]
        return {"equal": dict(self.equal), "changes": changes}


def find_archive(path: Path) -> Path:
    """Returns the archive, where a folder of a release was named the one in it.

    Raises:
        EnvironmentProblem: The folder does not contain exactly one archive.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob("*" + ARCHIVE_SUFFIX))
    if len(found) != 1:
        raise EnvironmentProblem(f"{path} contains {len(found)} archives ({ARCHIVE_SUFFIX})", "Name one archive.")
    return found[0]


def compare_images(first: Inspection, second: Inspection) -> Difference:
    """Compares two images; files are those that a container sees."""
    views = {
        "label": [inspection.labels for inspection in (first, second)],
        "layer": [dict(_layers(inspection)) for inspection in (first, second)],
        "package": [_packages(inspection.files) for inspection in (first, second)],
        "weights": [_weights(inspection.files) for inspection in (first, second)],
    }
    changes: list[Change] = []
    equal: dict[str, int] = {}
    for kind, (before, after) in views.items():
        found = list(_changes(kind, before, after))
        changes += found
        equal[kind] = len(before.keys() | after.keys()) - len(found)
    files = list(_file_changes(first.files, second.files))
    equal["file"] = len(first.files.entries.keys() | second.files.entries.keys()) - len(files)
    return Difference((*changes, *files), equal)


def _changes(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(kind, name, before.get(name), after.get(name))


def _layers(inspection: Inspection) -> Iterator[tuple[str, str]]:
    for number, layer in enumerate(inspection.layers, start=1):
        yield f"{number:02}", f"{layer.digest[7:19]}, {layer.size / 1e6:.1f} MB, {layer.short_step[:40]}"


def _packages(files: ImageFiles) -> dict[str, str]:
    """The versions of each package."""
    found: dict[str, list[str]] = {}
    for package in list_packages(files):
        purl = PackageURL.from_string(package.purl)
        found.setdefault(f"{purl.type}/{purl.name}", []).append(package.version)
    return {name: ", ".join(sorted(set(versions))) for name, versions in found.items()}


def _weights(files: ImageFiles) -> dict[str, str]:
    """The first digits of the hashes of each model's weights."""
    try:
        models = list(read_checkpoint(files, "").models())
    except InvalidImage:  # an image without a checkpoint, or with an altered one, has other differences
        return {}
    return {
        model.role: " ".join([model.name, model.version, *(sha256[:12] for sha256 in model.files.values())])
        for model in models
    }


def _file_changes(first: ImageFiles, second: ImageFiles) -> Iterator[Change]:
    for path in sorted(first.entries.keys() | second.entries.keys()):
        before, after = first.entries.get(path), second.entries.get(path)
        if before != after:
            content = before is None or after is None or _content(before) != _content(after)
            say = _content if content else _metadata
            yield Change("file", path, say(before) if before else None, say(after) if after else None)


def _content(entry: Entry) -> str:
    if entry.kind == "file":
        return f"{entry.size} bytes, {entry.content[:12]}"
    return f"link to {entry.content}" if entry.kind == "link" else entry.kind


def _metadata(entry: Entry) -> str:
    mode, owner, group, seconds = entry.metadata
    try:
        time = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        time = str(seconds)
    return f"mode {mode & 0o7777:04o}, owner {owner}:{group}, {time}"
