"""Pixels of Pillow's images: within bounds, upright, and as 8-bit RGB."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mevlip.core.errors import describe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_BYTES = 512 * 1024 * 1024
"""Most bytes of an image file, packed or unpacked: twice the largest picture that may be decoded."""

MAX_PIXELS = 89_478_485
"""Largest width x height that is decoded: Pillow's own bound (a quarter of a GiB of RGB)."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
"""Formats that may be decoded; Pillow's rarer parsers stay closed to foreign files."""

MAX_VOLUME = 1 << 29
"""Most pixels of all frames of one file together: 2,048 of 512 x 512."""

Span = tuple[float, float]
"""The values that become black and white."""

_PHOTOMETRIC = 262
_STRIP = 1 << 18  # pixels that are converted at a time
_RANGED_MODES = ("I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


class ImageError(ValueError):
    """An image that cannot be used; its text is the cause."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to upright 8-bit RGB, as `load_image` does; the image itself stays as it is.

    Raises:
        ImageError: It was opened from a file that cannot be decoded.
    """
    from PIL import ImageOps

    try:
        return as_rgb(ImageOps.exif_transpose(image), inverted=white_is_zero(image))
    except Exception as error:
        raise ImageError(f"cannot be decoded ({describe(error)})") from error


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF says so; Pillow applies that to 8 bits only."""
    return bool(getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0)


def is_deep(image: Image.Image) -> bool:
    """Whether its values are scaled by their range: 16-bit, 32-bit or float."""
    return image.mode.startswith(_RANGED_MODES)


def as_rgb(upright: Image.Image, *, inverted: bool, span: Span | None = None) -> Image.Image:
    """Converts an upright image to 8-bit RGB.

    Args:
        upright: The image.
        inverted: Whether its low values are bright, where it is deep.
        span: The values that become black and white, where it is deep; None for its own least and greatest.
    """
    if is_deep(upright):
        return _in_strips(upright, _range_scaler(span or image_span(upright), inverted))
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


def image_span(image: Image.Image) -> Span:
    """Least and greatest finite value of a deep image; zeros where there is none."""
    import numpy as np

    return joined(finite_span(np.asarray(strip, dtype=np.float64)) for _, strip in strips(image))


def finite_span(values: NDArray[np.float64]) -> Span:
    """Least and greatest finite value; the greatest is below the least where there is none."""
    import numpy as np

    finite = values[np.isfinite(values)]
    return (finite.min(), finite.max()) if finite.size else (math.inf, -math.inf)


def joined(spans: Iterable[Span]) -> Span:
    """The span of all values of several; zeros where there is none."""
    lows, highs = zip(*spans, strict=True)
    low, high = min(lows), max(highs)
    return (low, high) if low <= high else (0.0, 0.0)


def gray_levels(values: NDArray[np.float64], span: Span) -> NDArray[np.uint8]:
    """Maps values linearly to 0..255. Values that are not finite become 0; so do all where the span is empty."""
    import numpy as np

    low, high = span
    scale = 255.0 / (high - low) if high > low else 0.0
    gray = (np.where(np.isfinite(values), values, low) - low) * scale
    return gray.clip(0, 255).round().astype(np.uint8)


def _range_scaler(span: Span, inverted: bool) -> Callable[[Image.Image], Image.Image]:
    import numpy as np
    from PIL import Image, ImageOps

    def convert(strip: Image.Image) -> Image.Image:
        scaled = Image.fromarray(gray_levels(np.asarray(strip, dtype=np.float64), span)).convert("RGB")
        return ImageOps.invert(scaled) if inverted else scaled

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
