"""Finding image files by the names in records, and turning them into 8-bit RGB."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 89_478_485
"""Largest width x height that is decoded: Pillow's own bound (a quarter of a GiB of RGB)."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
"""Formats that may be decoded; Pillow's rarer parsers stay closed to foreign files."""

IMAGE_FOLDERS = ("imagesTr", "imagesVal", "imagesTs", "images")
"""Names under which the challenge's splits ship the same kind of folder."""

_PHOTOMETRIC = 262
_RANGED_MODES = ("I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


class ImageError(ValueError):
    """An image that cannot be used; its text is the cause."""


@dataclass(frozen=True)
class QuestionImages:
    """The images of one question.

    Attributes:
        images: Readable images, 8-bit RGB, in the record's order.
        problems: One line for each image that could not be used.
        named: How many images the question names; where it names none, its text alone is asked.
    """

    images: tuple[Image.Image, ...]
    problems: tuple[str, ...]
    named: int


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
    if not parts or parts[0] == "/" or re.match(r"[A-Za-z]:", parts[0]) or ".." in parts or "\0" in name:
        raise ImageError("the name is not a path below its question file; absolute paths and '..' are refused")
    return path


def load_image(content: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens an image by its content and returns its first page as 8-bit RGB.

    Orientation tags are applied, transparency is composited over black, and deep grayscale is scaled by the range of
    its values (Pillow's own conversion clips 16 bits to white).

    Args:
        content: The image file, whose extension does not matter, or its bytes.
        max_pixels: Bound on width x height, checked on the header, before any pixel is decoded.

    Raises:
        ImageError: The file is empty, truncated, too large or not an image.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()  # a format that is named but not yet registered would be a KeyError
    try:
        with warnings.catch_warnings():
            # They speak of damage that is either harmless or an error below, and of a laxer bound than ours.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as opened:
                if opened.width * opened.height > max_pixels:
                    raise ImageError(f"{opened.width} x {opened.height} pixels are more than the allowed {max_pixels}")
                return to_rgb(opened)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than the allowed {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        raise ImageError("the file is not a readable image" if size else "the file is empty") from error
    except Exception as error:
        raise ImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an opened image of any mode to upright 8-bit RGB; the decoding happens here."""
    from PIL import Image, ImageOps

    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(_RANGED_MODES):
        gray = _scaled_by_range(upright)
        # Pillow applies a TIFF's "white is zero" to 8 bits only.
        white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        return ImageOps.invert(gray) if white_is_zero else gray
    if upright.mode in _ALPHA_MODES or "transparency" in upright.info:
        overlay = upright.convert("RGBA")
        black = Image.new("RGBA", overlay.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, overlay).convert("RGB")
    return upright.convert("RGB")


def _scaled_by_range(image: Image.Image) -> Image.Image:
    """Maps the finite values of a 16-bit, 32-bit or float image linearly to 0..255; one single value becomes 0."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    gray = (np.where(finite, values, low) - low) * scale
    return Image.fromarray(gray.round().astype(np.uint8)).convert("RGB")


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
