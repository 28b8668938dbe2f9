"""Images of a FLARE tree, in folders or in the zip archives that the challenge ships, and what trainers may open."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from mevlip.checkpoints.checkpoint import file_sha256
from mevlip.flare.images import FORMATS, IMAGE_FOLDERS, ImageError, find_image, image_path, load_image
from mevlip.flare.questions import Question

MAX_BYTES = 512 * 1024 * 1024
"""Largest archived image that is unpacked: twice the greatest picture that may be decoded."""

logger = logging.getLogger(__name__)

_ORIENTATION = 0x0112
_UPRIGHT = 1

Members = dict[PurePosixPath, tuple[zipfile.ZipFile, zipfile.ZipInfo]]


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a readable image.

    Attributes:
        sha256: Hash of the file's bytes.
        size: Width and height in pixels, upright.
        plain: Whether a bare `Image.open` shows what `load_image` shows.
    """

    sha256: str
    size: tuple[int, int]
    plain: bool


class ImageStore:
    """Finds the images of a tree and remembers what it learned of them. Nothing is written into the tree.

    Args:
        root: The tree's root, resolved.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open = ExitStack()  # archives stay open: each look at a large one's directory takes long
        self._scratch = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="mevlip-")))
        self._numbers = itertools.count()
        self._members: dict[Path, Members] = {}
        self._digests: dict[tuple[Path, str], str] = {}
        self._facts: dict[tuple[Path, str], ImageFacts | ImageError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @contextmanager
    def file(self, question: Question, name: str) -> Iterator[Path]:
        """Gives the file of an image; one that lies in an archive is unpacked for as long as it is used.

        Args:
            question: The question that names it.
            name: One of its ImageName entries.

        Raises:
            ImageError: The name leaves the tree, no file or archive member answers to it, or it is too large.
        """
        path, unpacked = self._locate(question.folder, name)
        try:
            yield path
        finally:
            if unpacked:
                path.unlink()

    def sha256(self, question: Question, name: str) -> str:
        """Hash of an image's bytes.

        Raises:
            ImageError: There is no such image.
        """
        key = question.folder, name
        if key not in self._digests:
            with self.file(question, name) as path:
                self._digests[key] = _sha256(path)
        return self._digests[key]

    def facts(self, question: Question, name: str) -> ImageFacts:
        """Decodes an image once and tells about it.

        Raises:
            ImageError: It is missing or cannot be decoded.
        """
        key = question.folder, name
        if key not in self._facts:
            try:
                self._facts[key] = self._examine(question, name)
            except ImageError as error:
                self._facts[key] = error
        facts = self._facts[key]
        if isinstance(facts, ImageError):
            raise ImageError(str(facts))
        return facts

    def _examine(self, question: Question, name: str) -> ImageFacts:
        with self.file(question, name) as path:
            size = load_image(path).size
            return ImageFacts(self._digests.setdefault((question.folder, name), _sha256(path)), size, is_plain(path))

    def _locate(self, folder: Path, name: str) -> tuple[Path, bool]:
        """The file of an image, and whether it was unpacked for the occasion."""
        try:
            return find_image(self._root, folder, name), False
        except ImageError:
            member = self._find_member(folder, image_path(name))
            if member is None:
                raise
        return self._unpack(*member), True

    def _find_member(self, folder: Path, path: PurePosixPath) -> tuple[zipfile.ZipFile, zipfile.ZipInfo] | None:
        if folder not in self._members:
            self._members[folder] = _list_members(folder, self._open)
        members = self._members[folder]
        rest = path.parts[1:] if len(path.parts) > 1 and path.parts[0] in IMAGE_FOLDERS else path.parts
        candidates = (path, *(PurePosixPath(start, *rest) for start in IMAGE_FOLDERS))
        return next((members[candidate] for candidate in candidates if candidate in members), None)

    def _unpack(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Path:
        # zipfile reads no more than the directory's size, so a bound on that binds a lying archive too.
        if member.file_size > MAX_BYTES:
            raise ImageError(f"{member.file_size} bytes unpacked are more than the allowed {MAX_BYTES}")
        target = self._scratch / str(next(self._numbers))  # mkstemp's files would be closed to other users
        try:
            with target.open("wb") as out, archive.open(member) as packed:
                shutil.copyfileobj(packed, out)
        except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            target.unlink(missing_ok=True)
            raise ImageError(f"cannot be unpacked ({type(error).__name__}: {error})") from error
        return target


def place(path: Path, target: Path) -> None:
    """Puts a file at a place: as a hard link where the file system allows it, else as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except FileExistsError:  # a copy would write through the link that is there, into the source
        raise
    except OSError:
        shutil.copyfile(path, target)


def is_plain(path: Path) -> bool:
    """Whether Pillow's bare `Image.open(path)`, which LLaMA-Factory uses, shows the same pixels as `load_image`.

    That holds for one page of 8-bit gray or RGB, upright, without transparency, in an allowed format.
    """
    from PIL import Image

    with Image.open(path) as image:
        return (
            image.format in FORMATS
            and image.mode in ("RGB", "L")
            and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
            and "transparency" not in image.info
            and getattr(image, "n_frames", 1) == 1
        )


def _list_members(folder: Path, stack: ExitStack) -> Members:
    """Names every image of the archives beside a question file by its path, an image folder's name in front.

    Members may lack that folder, as in an archive made inside it; then the archive's own name stands for it. Names
    that climb or are absolute are passed over, and no name is ever used to write a file.
    """
    members: Members = {}
    for path in sorted(folder.glob("*.zip")):
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except (OSError, zipfile.BadZipFile) as error:
            logger.warning("%s: is no readable archive (%s)", path, error)
            continue
        for info in archive.infolist():
            try:
                name = image_path(info.filename)
            except ImageError:
                continue
            inside = name if name.parts[0] in IMAGE_FOLDERS else PurePosixPath(path.stem, name)
            if not info.is_dir():
                members.setdefault(inside, (archive, info))
    return members


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from error
