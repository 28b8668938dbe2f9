"""Finding image files by the names in records, and turning them into 8-bit RGB."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mevlip.flare.frames.base import Frames, shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.pixels import MAX_PIXELS, ImageError, fit_pixel_budget

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.checkpoints.routes import ImageSettings

IMAGE_FOLDERS = ("imagesTr", "imagesVal", "imagesTs", "images")
"""Names under which the challenge's splits ship the same kind of folder."""


@dataclass(frozen=True)
class QuestionImages:
    """The images of one question.

    Attributes:
        images: Readable images, 8-bit RGB, in the record's order, within the route's pixel budget.
        problems: One line for each image that could not be used.
        named: How many images the question names; where it names none, its text alone is asked.
        sizes: Width and height of each of `images` before it was fitted, upright: what box coordinates refer to.
    """

    images: tuple[Image.Image, ...]
    problems: tuple[str, ...]
    named: int
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Perturbation:
    """A change to a question's images before the model sees them.

    Attributes:
        name: Its name, for tables and for a run's identity.
        change: Turns the images of one question into those that are shown.
    """

    name: str
    change: Callable[[QuestionImages], QuestionImages]


def spaced_indices(count: int, limit: int) -> tuple[int, ...]:
    """Indices of at most `limit` of `count` items, evenly spaced, first and last included."""
    if count <= limit:
        return tuple(range(count))
    if limit == 1:
        return (0,)
    return tuple(round(step * (count - 1) / (limit - 1)) for step in range(limit))


def load_in_turn(
    count: int,
    open_file: Callable[[int], AbstractContextManager[Frames]],
    shown: Callable[[int], str],
    settings: ImageSettings,
) -> QuestionImages:
    """Loads a question's images, of files with several frames as many as its route shows.

    Each is fitted to the route's budget before the next is decoded, so that at most one of full size is in memory. A
    file of which a frame is damaged is not shown at all.

    Args:
        count: How many files the question names.
        open_file: Opens the file of an index.
        shown: The name of the file of an index, for messages.
        settings: The route's image settings.
    """
    images: list[Image.Image] = []
    sizes: list[tuple[int, int]] = []
    problems: list[str] = []
    chosen = spaced_indices(count, settings.max_count)

    def fit(image: Image.Image) -> tuple[tuple[int, int], Image.Image]:
        return image.size, fit_pixel_budget(image, settings.min_pixels, settings.max_pixels)

    def take(index: int) -> list[tuple[tuple[int, int], Image.Image]]:
        # A function, and map: no variable holds a full-size image any longer than needed.
        with open_file(index) as frames:
            return list(map(fit, frames.pictures(shown_frames(frames.count, settings, len(chosen)))))

    for index in chosen:
        try:
            fitted = take(index)
        except ImageError as error:
            problems.append(f"{shown(index)}: {error}")
            continue
        sizes += [size for size, _ in fitted]
        images += [image for _, image in fitted]
    return QuestionImages(tuple(images), tuple(problems), count, tuple(sizes))


def find_image(root: Path, folder: Path, name: str) -> Path:
    """Finds an image named in a record.

    Args:
        root: The input folder, resolved; the result lies inside it.
        folder: The question file's folder.
        name: The record's ImageName, relative to `folder`. Its `imagesTr|imagesVal|imagesTs` part may differ from the
            folder that is really there, as it does between the challenge's splits.

    Raises:
        ImageError: The name leaves the input folder, or no file answers to it.
    """
    parts = image_path(name).parts
    rest = parts[1:] if len(parts) > 1 and parts[0] in IMAGE_FOLDERS else parts
    for candidate in (Path(*parts), *(Path(start, *rest) for start in IMAGE_FOLDERS), Path(*rest)):
        path = folder / candidate
        try:
            # A pipe or device would block; is_file lets only ordinary files through.
            if not path.is_file():
                continue
            inside = path.resolve().is_relative_to(root)
        except OSError as error:
            raise ImageError(f"cannot be looked up ({error.strerror})") from error
        if not inside:
            raise ImageError("is a link that leaves the input folder; copy the file in (cp -L)")
        return path
    raise ImageError("not found beside its question file")


def image_path(name: str) -> PurePosixPath:
    """An ImageName as a clean relative path.

    Raises:
        ImageError: It is absolute or climbs.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    parts = path.parts
    if not parts or parts[0].startswith("/") or re.match(r"[A-Za-z]:", parts[0]) or ".." in parts or "\0" in name:
        raise ImageError("the name is not a path below its question file; absolute paths and '..' are refused")
    return path


def load_image(content: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens an image by its content and returns its first frame as 8-bit RGB; most files have but one.

    Orientation tags are applied, transparency is composited over black, and deep grayscale is scaled by the range of
    its values (Pillow's own conversion clips 16 bits to white). An image that needs none of this is decoded once and
    given as it is; of others there are never more than the original and the result, four bytes per pixel each.

    Args:
        content: The image file, whose extension does not matter, or its bytes.
        max_pixels: Bound on width x height, checked on the header, before any pixel is decoded.

    Raises:
        ImageError: The file is empty, truncated, too large or not an image.
    """
    with open_frames(content, max_pixels=max_pixels) as frames:
        return next(frames.pictures([0]))
