"""The file system of an image, put together from its layers while they are read; nothing is unpacked.

Of every file, size, sha256 and metadata are recorded. The content is kept of the few small files that say what the
image contains: metadata of Python distributions, the package database, the system's name, the checkpoint's records.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mevlip_release.docker_client import InvalidImage

SMALL_BYTES = 1 << 20
"""Bytes up to which the content of any file is read, to look for tokens; larger files are libraries and weights."""
INTERPRETER = re.compile(r"(?:^|/)(?:bin/python|libpython)(3\.\d+)(?:\.so[\d.]*)?$")
"""Programs and libraries of CPython, with the version in their name. They contain the whole version."""

_KEPT = re.compile(
    r"(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info|/_vendor/vendor(?:ed)?\.txt)$"
    r"|^var/lib/dpkg/(?:status$|status\.d/)|^(?:etc|usr/lib)/os-release$"
    r"|^app/checkpoints/[^/]+/(?:manifest\.json|adapters/[^/]+/route\.json)$"
)
_KEPT_BYTES = 16 << 20
"""Bytes of a file that is kept; Debian's package database has half a megabyte here, and ten where much is installed."""
_ALL_KEPT_BYTES = 256 << 20
_INTERPRETER_BYTES = 128 << 20
_CHUNK_BYTES = 1 << 20
_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
Kind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link.

    Attributes:
        kind: What it is.
        size: Bytes of a file, else 0.
        content: sha256 of a file, target of a link, else empty.
        metadata: Mode, owner, group and time of change.
    """

    kind: Kind
    size: int
    content: str
    metadata: tuple[int, int, int, int]


@dataclass(frozen=True)
class ImageFiles:
    """The file system that a container sees.

    Attributes:
        entries: All files, folders and links, by path without a leading slash.
        kept: Content of the files that say what the image contains; of an interpreter, its version.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    kept: Mapping[str, bytes] = field(default_factory=dict)


@dataclass
class LayerFiles:
    """What one layer adds, and what it removes from the layers below.

    Attributes:
        entries: What it adds or replaces.
        kept: See `ImageFiles`.
        removed: Paths that it removes, with all that is in them.
        emptied: Folders of which it removes the content that lies below.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)

    def add(self, entry: tarfile.TarInfo, layer: tarfile.TarFile) -> bytes:
        """Records the entry that was just read from a layer.

        Returns:
            The content of a small file, else nothing.

        Raises:
            InvalidImage: A file that has to be kept is larger than any that was ever seen.
        """
        path = posixpath.normpath(entry.name).lstrip("/")
        folder, name = posixpath.split(path)
        if name.startswith(_WHITEOUT):
            if name == _OPAQUE:
                self.emptied.add(folder)
            elif not name.startswith(_AUFS):  # a builder's own notes
                self.removed.add(posixpath.join(folder, name.removeprefix(_WHITEOUT)))
            return b""
        metadata = (entry.mode, entry.uid, entry.gid, int(entry.mtime))
        if entry.islnk() and (same := self.entries.get(posixpath.normpath(entry.linkname).lstrip("/"))):
            self.entries[path] = same  # a hard link; its target comes first
            return b""
        content = b""
        if entry.isfile():
            digest, content = self._read(path, entry, layer)
            self.entries[path] = Entry("file", entry.size, digest, metadata)
        elif entry.isdir():
            self.entries[path] = Entry("folder", 0, "", metadata)
        else:
            self.entries[path] = Entry("link" if entry.issym() else "other", 0, entry.linkname, metadata)
        return content

    def _read(self, path: str, entry: tarfile.TarInfo, layer: tarfile.TarFile) -> tuple[str, bytes]:
        """Reads a file to its end: its sha256, and its content where it is small."""
        file = layer.extractfile(entry)
        assert file is not None, "it is a file"  # noqa: S101 - the caller asked
        keep, program = _KEPT.search(path), INTERPRETER.search(path)
        if keep and (entry.size > _KEPT_BYTES or sum(map(len, self.kept.values())) + entry.size > _ALL_KEPT_BYTES):
            raise InvalidImage(f"{path} in the image is too large ({entry.size} bytes)", "Build the image again.")
        held = entry.size <= (_KEPT_BYTES if keep else _INTERPRETER_BYTES if program else SMALL_BYTES)
        digest, pieces = hashlib.sha256(), []
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
            if held:
                pieces.append(piece)
        content = b"".join(pieces)
        if keep:
            self.kept[path] = content
        elif program:
            self.kept[path] = _find_version(content, program[1])
        return digest.hexdigest(), content if len(content) <= SMALL_BYTES else b""


def _find_version(program: bytes, minor: str) -> bytes:
    """The whole version of an interpreter; empty where a library has it."""
    found = re.search(rb"\0(" + re.escape(minor.encode()) + rb"\.\d+(?:(?:a|b|rc)\d+)?)\+?\0", program)
    return found[1] if found else b""


def overlay(layers: Iterable[LayerFiles]) -> ImageFiles:
    """Puts the layers on top of each other, starting with the base image's."""
    entries: dict[str, Entry] = {}
    kept: dict[str, bytes] = {}
    for layer in layers:
        opaque = layer.removed | layer.emptied
        opaque |= {path for path, entry in layer.entries.items() if entry.kind != "folder"}
        hidden = {"": "" in layer.emptied}  # folders whose content of lower layers is gone
        folders = _folders(layer)
        for path in list(entries):
            replaced = path in layer.entries or (path in folders and entries[path].kind == "file")
            if replaced or path in layer.removed or _is_hidden(posixpath.dirname(path), opaque, hidden):
                del entries[path]
                kept.pop(path, None)
        entries |= layer.entries
        kept |= layer.kept
    return ImageFiles(entries, kept)


def _folders(layer: LayerFiles) -> set[str]:
    """The folders that a layer's entries lie in, whether it has entries for them or not."""
    found = set(layer.emptied)
    for path in (*layer.entries, *layer.emptied):
        folder = posixpath.dirname(path)
        while folder and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return found


def _is_hidden(folder: str, opaque: set[str], known: dict[str, bool]) -> bool:
    """Whether a folder, or one that it lies in, is among the opaque ones."""
    unknown = []
    while folder not in known:
        unknown.append(folder)
        folder = posixpath.dirname(folder)
    for inner in reversed(unknown):
        known[inner] = known[posixpath.dirname(inner)] or inner in opaque
    return known[unknown[0] if unknown else folder]
