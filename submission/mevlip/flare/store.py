"""The images of a folder of questions, in folders or in zip archives as the challenge ships them."""

from __future__ import annotations

import hashlib
import itertools
import logging
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mevlip.core.archives import BadMember, open_archive, read_member
from mevlip.core.files import NotReadable, open_regular
from mevlip.core.text import visible
from mevlip.flare.archived import find_archives, names_beside
from mevlip.flare.frames.base import shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import IMAGE_FOLDERS, QuestionImages, find_image, image_path, load_image, load_in_turn
from mevlip.flare.pixels import FORMATS, MAX_BYTES, ImageError, strips
from mevlip.flare.questions import Question

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.checkpoints.routes import ImageSettings

logger = logging.getLogger(__name__)

_ORIENTATION = 0x0112
_UPRIGHT = 1
_COLORED = 24  # levels between the channels of a pixel that no compression of a gray image makes


@dataclass(frozen=True)
class Appearance:
    """How an image looks, in a few figures.

    Attributes:
        color: The color, red, green and blue, that every pixel has; None where pixels differ.
        spread: Standard deviation of the gray levels, 0 to 255.
        colored: Share of the pixels that are clearly not gray.
    """

    color: tuple[int, int, int] | None
    spread: float
    colored: float


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a readable image.

    Attributes:
        sha256: Hash of the file's bytes.
        size: Width and height in pixels, upright.
        plain: Whether a bare `Image.open` shows what `load_image` shows.
        appearance: How it looks; of several frames, the middle one.
        frames: How many frames may be shown of it: pages, slices or seconds.
    """

    sha256: str
    size: tuple[int, int]
    plain: bool
    appearance: Appearance
    frames: int = 1


@dataclass(frozen=True)
class _Location:
    """Where an image lies.

    Attributes:
        path: The image file, or the archive that holds it.
        archive: The open archive; None for a file in a folder.
        member: The archive's entry.
    """

    path: Path
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def key(self) -> str:
        """The place as text; equal for two names of one file."""
        return f"{self.path}/{self.member.filename}" if self.member else str(self.path)


class ImageStore:
    """Finds the images of a folder of questions and remembers what it learned of them.

    A file in a folder comes before a member of an archive. Nothing is written into the folder; archives are opened, and
    a scratch folder is made, when an image needs them. Use it as a context manager, which closes and removes both.

    Args:
        root: The folder, resolved; no image lies outside it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._resources = ExitStack()  # archives stay open: reading a large one's directory takes long
        self._numbers = itertools.count()
        self._members: dict[Path, dict[PurePosixPath, _Location]] = {}
        self._places: dict[tuple[Path, str], str] = {}
        self._facts: dict[str, ImageFacts | ImageError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def load(self, question: Question, settings: ImageSettings) -> QuestionImages:
        """Loads the images of a question, as many as its route shows, evenly spaced over the record's list."""
        names = question.image_names
        if not names:
            return QuestionImages((), ("the record's ImageName names no image",), 0, ())
        return load_in_turn(
            len(names),
            lambda index: open_frames(_content(self._locate(question, names[index])), settings.intensity),
            lambda index: f"image {visible(repr(names[index]), 200)}",
            settings,
        )

    def image(self, question: Question, name: str) -> Image.Image:
        """Decodes an image, of several frames the first, to upright 8-bit RGB.

        Args:
            question: The question that names it.
            name: One of its ImageName entries.

        Raises:
            ImageError: It is missing or cannot be decoded.
        """
        return load_image(_content(self._locate(question, name)))

    def place(self, question: Question, name: str) -> str:
        """Where an image lies, as text; equal for two names of one file. Found once, it is not looked for again.

        Raises:
            ImageError: The image does not exist.
        """
        asked = question.folder, name
        if asked not in self._places:
            self._places[asked] = self._locate(question, name).key
        return self._places[asked]

    def state(self, question: Question, name: str) -> str:
        """A text that changes when an image's file does, without reading the image: size and time, or size and CRC.

        Raises:
            ImageError: The image does not exist.
        """
        location = self._locate(question, name)
        try:
            status = location.path.stat()
        except OSError as error:
            raise ImageError(f"cannot be looked up ({error.strerror})") from error
        state = f"{status.st_size}:{status.st_mtime_ns}"
        member = location.member
        return f"{state}:{member.filename}:{member.file_size}:{member.CRC}" if member else state

    def facts(self, question: Question, name: str) -> ImageFacts:
        """Decodes an image and describes it; each file is decoded once, whatever names it has.

        Raises:
            ImageError: It is missing or cannot be decoded.
        """
        place = self.place(question, name)
        if place not in self._facts:
            try:
                self._facts[place], _ = examine(self.content(question, name))
            except ImageError as error:
                self._facts[place] = error
        facts = self._facts[place]
        if isinstance(facts, ImageError):
            raise ImageError(str(facts))
        return facts

    def sizes(self, question: Question, names: Sequence[str], settings: ImageSettings) -> list[tuple[int, int]]:
        """Width and height of each picture that a route shows of some of a question's files.

        Raises:
            ImageError: A file is missing or cannot be decoded.
        """
        known = [self.facts(question, name) for name in names]
        return [one.size for one in known for _ in shown_frames(one.frames, settings, len(names))]

    def content(self, question: Question, name: str) -> Path | bytes:
        """The file of an image, or the bytes of an archived one: what `load_image` and `examine` take.

        Raises:
            ImageError: The image does not exist or cannot be unpacked.
        """
        return _content(self._locate(question, name))

    def learn(self, question: Question, name: str, facts: ImageFacts | ImageError) -> None:
        """Takes over what is known of an image, or why it cannot be read, so that it is not decoded again.

        Raises:
            ImageError: The image does not exist.
        """
        self._facts[self.place(question, name)] = facts

    @contextmanager
    def file(self, question: Question, name: str) -> Iterator[Path]:
        """Gives the file of an image; one that lies in an archive is unpacked for as long as it is used.

        Raises:
            ImageError: The name leaves the folder, no file or archive member has it, or it is too large.
        """
        location = self._locate(question, name)
        if location.member is None:
            yield location.path
            return
        target = self._scratch / str(next(self._numbers))  # mkstemp's files would be closed to other users
        try:
            target.write_bytes(_unpack(location))
            yield target
        finally:
            target.unlink(missing_ok=True)

    @cached_property
    def _scratch(self) -> Path:
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="mevlip-")))

    def _locate(self, question: Question, name: str) -> _Location:
        try:
            return _Location(find_image(self._root, question.folder, name))
        except ImageError:
            location = self._find_member(question.folder, image_path(name))
            if location is None:
                raise
        return location

    def _find_member(self, folder: Path, path: PurePosixPath) -> _Location | None:
        if folder not in self._members:
            self._members[folder] = self._list_members(folder)
        members = self._members[folder]
        rest = path.parts[1:] if len(path.parts) > 1 and path.parts[0] in IMAGE_FOLDERS else path.parts
        candidates = (path, *(PurePosixPath(start, *rest) for start in IMAGE_FOLDERS))
        return next((members[candidate] for candidate in candidates if candidate in members), None)

    def _list_members(self, folder: Path) -> dict[PurePosixPath, _Location]:
        """Every file in a question file's archives, by the paths that may name it; of several the first found.

        Names that climb or are absolute are passed over, and no name is ever used to write a file.
        """
        members: dict[PurePosixPath, _Location] = {}
        for path in find_archives(folder, self._root):
            try:
                file = self._resources.enter_context(open_regular(path, sys.maxsize, self._root))
                archive = self._resources.enter_context(open_archive(file))
            except NotReadable as error:
                logger.warning("%s: %s", path, error.strerror)
                continue
            except Exception as error:  # noqa: BLE001 - zipfile raises many kinds on damaged directories
                logger.warning("%s: is not a readable archive (%s)", path, error)
                continue
            files: dict[PurePosixPath, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                with suppress(ImageError):
                    if not info.is_dir():
                        files.setdefault(image_path(info.filename), info)
            for name, member in names_beside(folder, path, [*files]):
                members.setdefault(name, _Location(path, archive, files[member]))
        return members


def examine(content: Path | bytes) -> tuple[ImageFacts, Image.Image]:
    """Decodes and describes an image.

    Args:
        content: The image's file, or its bytes.

    Returns:
        What is known of it, and the frame that was looked at: of several the middle one.

    Raises:
        ImageError: It cannot be decoded, or not be read any more.
    """
    with open_frames(content) as frames:
        count = frames.count
        image = next(frames.pictures([count // 2]))
    facts = ImageFacts(_digest(content), image.size, is_plain(content), measure_appearance(image), count)
    return facts, image


def is_plain(content: Path | bytes) -> bool:
    """Whether Pillow's bare `Image.open`, which LLaMA-Factory uses, shows the same pixels as `load_image`.

    That holds for one page of 8-bit gray or RGB, upright, without transparency, in an allowed format.

    Args:
        content: An image file that `load_image` reads, or its bytes.
    """
    from PIL import Image

    file = BytesIO(content) if isinstance(content, bytes) else content
    try:
        # Warnings are of damage that is harmless, or that `load_image` reports.
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            return (
                image.format in FORMATS
                and image.mode in ("RGB", "L")
                and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
                and "transparency" not in image.info
                and getattr(image, "n_frames", 1) == 1
            )
    except Exception:  # noqa: BLE001 - where bare Pillow breaks it shows nothing
        return False


def measure_appearance(image: Image.Image) -> Appearance:
    """Measures an 8-bit RGB image."""
    import numpy as np

    first = image.getpixel((0, 0))
    levels = np.arange(3 * 255 + 1)  # of red, green and blue together
    counts, colored, even = np.zeros(len(levels)), 0, True
    for _, strip in strips(image):
        red, green, blue = bands = [np.asarray(band) for band in strip.split()]
        even = even and all((band == value).all() for band, value in zip(bands, first, strict=True))  # type: ignore[arg-type]
        counts += np.bincount((red.astype(np.int64) + green + blue).ravel(), minlength=len(levels))
        between = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        colored += int((between > _COLORED).sum())
    pixels = image.width * image.height
    variance = counts @ (levels - counts @ levels / pixels) ** 2 / pixels
    return Appearance(first if even else None, float(variance) ** 0.5 / 3, colored / pixels)  # type: ignore[arg-type]


def _content(location: _Location) -> Path | bytes:
    """The file of an image, or the bytes of an archived one."""
    return location.path if location.member is None else _unpack(location)


def _digest(content: Path | bytes) -> str:
    """The sha256 of a file's bytes."""
    try:
        with BytesIO(content) if isinstance(content, bytes) else open_regular(content, MAX_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from error


def _unpack(location: _Location) -> bytes:
    assert location.archive is not None and location.member is not None  # noqa: S101 - the callers have looked
    try:
        return read_member(location.archive, location.member, MAX_BYTES)
    except BadMember as error:
        raise ImageError(str(error)) from error
