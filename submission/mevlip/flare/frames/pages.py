"""Pictures that Pillow reads, and the pages of those that have several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING

from mevlip.flare.frames.base import MAX_FRAMES, check_size
from mevlip.flare.pixels import FORMATS, ImageError, Span, as_rgb, image_span, is_deep, joined, white_is_zero

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.checkpoints.routes import Intensity

_PAGED = ("TIFF", "GIF")
"""Formats whose pages are frames. Of a JPEG's further pictures (MPO), an animated PNG or WebP the first is shown."""
_SUBFILE, _REDUCED = 254, 1  # a TIFF page's kind: a lesser version of another page


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes:
        image: Upright 8-bit RGB.
    """

    image: Image.Image

    @property
    def count(self) -> int:
        """One."""
        return 1

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields it."""
        return (self.image for _ in indices)


class Pages:
    """The pages of an open picture that are like its first: equal in size and mode, and no thumbnail.

    They end where the next one cannot be found.

    Args:
        file: The open file.
        intensity: Which values of deep pages become black and white.
        max_pixels: Bound on width x height, checked on the header.

    Raises:
        ImageError: It is too large.
    """

    def __init__(self, file: IO[bytes], intensity: Intensity, max_pixels: int) -> None:
        from PIL import Image

        Image.init()  # a format that is named but not yet registered would be a KeyError
        self._image = Image.open(file, formats=FORMATS)
        self._intensity = intensity
        self._like = self._image.size, self._image.mode
        check_size(*self._image.size, max_pixels=max_pixels)

    @cached_property
    def _pages(self) -> Sequence[int]:
        if self._image.format not in _PAGED:
            return (0,)
        # To seek in a GIF is to decode it, to count its frames is not; a TIFF's directories have to be looked at.
        pages = range(getattr(self._image, "n_frames", 1)) if self._image.format == "GIF" else self._directories()
        check_size(*self._image.size, len(pages))
        return pages

    def _directories(self) -> Sequence[int]:
        pages = [0]
        try:
            for page in range(1, MAX_FRAMES + 1):
                self._image.seek(page)
                kind = getattr(self._image, "tag_v2", {}).get(_SUBFILE, 0)
                if (self._image.size, self._image.mode) == self._like and not kind & _REDUCED:
                    pages.append(page)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds where no page follows, or a damaged one
            self._image.seek(0)
            return pages
        raise ImageError(f"it has more pages than the allowed {MAX_FRAMES}")

    @property
    def count(self) -> int:
        """Number of pages."""
        return len(self._pages)

    @cached_property
    def _span(self) -> Span | None:
        """Least and greatest value of all pages, where they are deep and share them."""
        if self._intensity == "slice" or self.count == 1 or not is_deep(self._image):
            return None
        return joined(image_span(self._turned(page)) for page in self._pages)

    def _turned(self, page: int) -> Image.Image:
        from PIL import ImageOps

        self._image.seek(page)
        if self._image.size != self._like[0]:
            raise ImageError(f"its page {page + 1} is larger than its first")
        return ImageOps.exif_transpose(self._image)

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields pages. A single one is rotated in place, which avoids a second copy."""
        from PIL import ImageOps

        for index in indices:
            if self.count == 1:
                ImageOps.exif_transpose(self._image, in_place=True)
                yield as_rgb(self._image, inverted=white_is_zero(self._image))
            else:
                span = self._span
                upright = self._turned(self._pages[index])
                yield as_rgb(upright, inverted=white_is_zero(self._image), span=span)
