"""Reads an image archive as `docker save` writes it, without an engine, and proves that every layer is whole.

The archive is read once from front to back, compressed or not, and nothing is unpacked. Engines differ in the names
that they give the parts (`<digest>/layer.tar`, or `blobs/sha256/<digest>`), in their order, and in whether layers are
compressed; in all of them `manifest.json` names configuration and layers, and the configuration lists the sha256 of
each uncompressed layer.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from pydantic import BaseModel

from mevlip.core.errors import describe
from mevlip.core.progress import Progress
from mevlip_release.docker_client import InvalidImage

Seen = TypeVar("Seen")

_SMALL = 1 << 20
"""Bytes up to which a part of the archive is kept: descriptions are smaller, and so may be layers."""
_CHUNK_BYTES = 1 << 20
_AGAIN = "Save the image again, or fetch the archive again."


class _Settings(BaseModel):
    Labels: dict[str, str] | None = None


class _Step(BaseModel):
    created_by: str = ""
    empty_layer: bool = False


class _RootFiles(BaseModel):
    diff_ids: list[str]


class _Config(BaseModel):
    """The parts of an image's configuration that are used, as the OCI specification has them."""

    config: _Settings | None = None
    history: list[_Step] | None = None
    rootfs: _RootFiles


@dataclass(frozen=True)
class ReadLayer(Generic[Seen]):
    """A layer that was read to its end.

    Attributes:
        digest: sha256 of its uncompressed bytes, as computed.
        seen: What the visitor made of it.
    """

    digest: str
    seen: Seen


@dataclass(frozen=True)
class ReadImage(Generic[Seen]):
    """An image read from an archive.

    Attributes:
        id: sha256 of the configuration, which Docker's classic store calls the image's id.
        config: The configuration.
        layers: The layers, starting with the base image's.
        tags: The names under which an engine loads it.
    """

    id: str
    config: dict[str, Any]
    layers: tuple[ReadLayer[Seen], ...]
    tags: tuple[str, ...] = ()


def read_image(archive: Path, visit: Callable[[tarfile.TarFile], Seen], quiet: bool = True) -> ReadImage[Seen]:
    """Reads the first image of an archive.

    Args:
        archive: The archive, plain or compressed with gzip.
        visit: Called with each layer, opened as a stream: it may go through the entries once.
        quiet: Whether to hide the progress bar.

    Raises:
        InvalidImage: The archive is damaged or incomplete, or a layer or the configuration has another sha256 than the
            one under which it is listed.
    """
    with archive.open("rb") as file, Progress("checking", archive.stat().st_size, "B", quiet) as progress:
        return read_stream(_Watched(file, lambda data: progress.advance(len(data))), str(archive), visit)


def read_stream(file: Any, name: str, visit: Callable[[tarfile.TarFile], Seen]) -> ReadImage[Seen]:
    """Reads the first image of an archive that comes bit by bit.

    Args:
        file: Has `read(size)`.
        name: What to call it in messages.
        visit: See `read_image`.

    Raises:
        InvalidImage: See `read_image`.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|*") as tar:
            return _read(name, tar, visit)
    except (
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise InvalidImage(f"{name} is not a whole image archive ({describe(error)})", _AGAIN) from error


def _read(name: str, tar: tarfile.TarFile, visit: Callable[[tarfile.TarFile], Seen]) -> ReadImage[Seen]:
    small: dict[str, bytes] = {}
    links: dict[str, str] = {}
    layers: dict[str, ReadLayer[Seen]] = {}
    for member in tar:
        if member.issym():  # older engines write identical layers once, and link to them
            links[member.name] = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        elif file := tar.extractfile(member):
            if member.size <= _SMALL:
                small[member.name] = file.read()
            else:
                layers[member.name] = _read_layer(file, visit)
    described = json.loads(small["manifest.json"])[0]
    image_id = _sha256(small[described["Config"]])
    named = re.search("[0-9a-f]{64}", described["Config"])
    _compare(name, "the configuration", image_id, f"sha256:{named[0]}" if named else image_id)
    config = json.loads(small[described["Config"]])
    _Config.model_validate(config)
    found: list[ReadLayer[Seen]] = []
    for part, digest in zip(described["Layers"], config["rootfs"]["diff_ids"], strict=True):
        target = links.get(part, part)
        if target not in layers:
            layers[target] = _read_layer(io.BytesIO(small[target]), visit)
        _compare(name, f"layer {len(found) + 1} of {len(described['Layers'])}", layers[target].digest, digest)
        found.append(layers[target])
    return ReadImage(image_id, config, tuple(found), tuple(map(str, described.get("RepoTags") or ())))


class Chunks:
    """Reads pieces of bytes, such as an engine sends, as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes; fewer only at the end, all for a negative number."""
        found, held = [self._left], len(self._left)
        while (size < 0 or held < size) and (piece := next(self._pieces, None)) is not None:
            found.append(piece)
            held += len(piece)
        data = b"".join(found)
        cut = len(data) if size < 0 else size
        self._left = data[cut:]
        return data[:cut]


class _Watched:
    """A file that tells somebody what is read from it."""

    def __init__(self, file: Any, tell: Callable[[bytes], None]) -> None:
        self._file = file
        self._tell = tell

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._tell(data)
        return data


def _read_layer(file: IO[bytes], visit: Callable[[tarfile.TarFile], Seen]) -> ReadLayer[Seen]:
    buffered: Any = io.BufferedReader(file)
    packed = buffered.peek(2)[:2] == b"\x1f\x8b"
    digest = hashlib.sha256()
    watched: Any = _Watched(gzip.GzipFile(fileobj=buffered) if packed else buffered, digest.update)
    with tarfile.open(fileobj=watched, mode="r|") as layer:
        seen = visit(layer)
    while watched.read(_CHUNK_BYTES):  # such as the padding after the last entry
        pass
    return ReadLayer(f"sha256:{digest.hexdigest()}", seen)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _compare(name: str, part: str, found: str, listed: str) -> None:
    if found != listed:
        raise InvalidImage(f"{name}: {part} is damaged: it is {found[:19]}…, listed is {listed[:19]}…", _AGAIN)
