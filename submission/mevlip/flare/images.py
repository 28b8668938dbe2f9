"""Finding image files by the names in records, and turning them into 8-bit RGB."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mevlip.core.errors import describe
from mevlip.core.files import NotReadable, open_regular

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.checkpoints.routes import ImageSettings

MAX_BYTES = 512 * 1024 * 1024
"""Most bytes of an image file, packed or unpacked: twice the largest picture that may be decoded."""

MAX_PIXELS = 89_478_485
"""Largest width x height that is decoded: Pillow's own bound (a quarter of a GiB of RGB)."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
"""Formats that may be decoded; Pillow's rarer parsers stay closed to foreign files."""

IMAGE_FOLDERS = ("imagesTr", "imagesVal", "imagesTs", "images")
"""Names under which the challenge's splits ship the same kind of folder."""

_PHOTOMETRIC = 262
_STRIP = 1 << 18  # pixels that are converted at a time
_RANGED_MODES = ("I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


class ImageError(ValueError):
    """An image that cannot be used; its text is the cause."""


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
    count: int, load: Callable[[int], Image.Image], shown: Callable[[int], str], settings: ImageSettings
) -> QuestionImages:
    """Loads a question's images and fits each to its route's budget before the next is decoded.

    So at most one image of full size is in memory.

    Args:
        count: How many images the question names.
        load: Decodes the image of an index.
        shown: The name of the image of an index, for messages.
        settings: The route's image settings.
    """
    images: list[Image.Image] = []
    sizes: list[tuple[int, int]] = []
    problems: list[str] = []

    def take(image: Image.Image) -> None:
        sizes.append(image.size)
        images.append(fit_pixel_budget(image, settings.min_pixels, settings.max_pixels))

    for index in spaced_indices(count, settings.max_count):
        try:
            take(load(index))
        except ImageError as error:
            problems.append(f"{shown(index)}: {error}")
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
    """Opens an image by its content and returns its first page as 8-bit RGB.

    Orientation tags are applied, transparency is composited over black, and deep grayscale is scaled by the range of
    its values (Pillow's own conversion clips 16 bits to white). An image that needs none of this is decoded once and
    given as it is; of others there are never more than the original and the result, four bytes per pixel each.

    Args:
        content: The image file, whose extension does not matter, or its bytes.
        max_pixels: Bound on width x height, checked on the header, before any pixel is decoded.

    Raises:
        ImageError: The file is empty, truncated, too large or not an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # a format that is named but not yet registered would be a KeyError
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of harmless damage, of errors below, of a laxer bound than ours
            BytesIO(content) if isinstance(content, bytes) else open_regular(content, MAX_BYTES) as file,
        ):
            if not file.read(1):
                raise ImageError("the file is empty")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > max_pixels:
                    raise ImageError(f"{opened.width} x {opened.height} pixels are more than the allowed {max_pixels}")
                ImageOps.exif_transpose(opened, in_place=True)
                return _as_rgb(opened, _white_is_zero(opened))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than the allowed {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError("the file is not a readable image") from error
    except NotReadable as error:
        raise ImageError(error.strerror) from error
    except Exception as error:
        raise ImageError(f"cannot be decoded ({describe(error)})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to upright 8-bit RGB, as `load_image` does; the image itself stays as it is.

    Raises:
        ImageError: It was opened from a file that cannot be decoded.
    """
    from PIL import ImageOps

    try:
        return _as_rgb(ImageOps.exif_transpose(image), _white_is_zero(image))
    except Exception as error:
        raise ImageError(f"cannot be decoded ({describe(error)})") from error


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF says so; Pillow applies that to 8 bits only."""
    return bool(getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0)


def _as_rgb(upright: Image.Image, white_is_zero: bool) -> Image.Image:
    if upright.mode.startswith(_RANGED_MODES):
        return _in_strips(upright, _range_scaler(upright, white_is_zero))
    if upright.mode in _ALPHA_MODES or "transparency" in upright.info:
        return _in_strips(upright, _over_black)
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], Image.Image]]:
    """Yields the image in strips of whole rows, each with its place."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        place = (0, top, image.width, min(top + rows, image.height))
        yield place, image.crop(place)


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Converts an image strip by strip, so that what the conversion needs meanwhile stays small."""
    from PIL import Image

    result = Image.new("RGB", image.size)
    for place, strip in strips(image):
        result.paste(convert(strip), place)
    return result


def _over_black(image: Image.Image) -> Image.Image:
    from PIL import Image

    overlay = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", overlay.size, (0, 0, 0, 255)), overlay).convert("RGB")


def _range_scaler(image: Image.Image, white_is_zero: bool) -> Callable[[Image.Image], Image.Image]:
    """Maps the finite values of a 16-bit, 32-bit or float image linearly to 0..255; one single value becomes 0."""
    import numpy as np
    from PIL import Image, ImageOps

    low, high = math.inf, -math.inf
    for _, strip in strips(image):
        values = np.asarray(strip, dtype=np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, finite.min()), max(high, finite.max())
    low, high = (low, high) if low <= high else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0

    def convert(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip, dtype=np.float64)
        gray = (np.where(np.isfinite(values), values, low) - low) * scale
        scaled = Image.fromarray(gray.round().astype(np.uint8)).convert("RGB")
        return ImageOps.invert(scaled) if white_is_zero else scaled

    return convert


def fit_pixel_budget(image: Image.Image, min_pixels: int, max_pixels: int) -> Image.Image:
    """Resizes an image, aspect ratio kept, so that width x height lies within a route's budget.

    LLaMA-Factory does the same before its image processor, with the same rounding, so that both sides see equal pixels.
    """
    if image.width * image.height > max_pixels:
        image = _resized_to(image, max_pixels)
    if image.width * image.height < min_pixels:
        image = _resized_to(image, min_pixels)
    return image


def _resized_to(image: Image.Image, pixels: int) -> Image.Image:
    factor = math.sqrt(pixels / (image.width * image.height))
    return image.resize((max(1, int(image.width * factor)), max(1, int(image.height * factor))))
