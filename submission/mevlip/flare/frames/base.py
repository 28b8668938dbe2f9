"""What every kind of file with frames has in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from mevlip.flare.pixels import MAX_PIXELS, MAX_VOLUME, ImageError, Span, finite_span, gray_levels, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from mevlip.checkpoints.routes import ImageSettings, Intensity

MAX_FRAMES = 100_000
"""Most frames of a file."""


class Frames(Protocol):
    """An opened file's frames."""

    @property
    def count(self) -> int:
        """How many may be shown."""

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields frames as upright 8-bit RGB, one after another.

        Args:
            indices: Which, in ascending order, from 0.
        """


def frame_indices(count: int, limit: int) -> tuple[int, ...]:
    """Indices of at most `limit` of `count` frames, evenly spaced, first and last included; of one, the middle.

    They are numpy's `linspace(0, count - 1, limit, dtype=int)`, as Fleming-VL takes them: rounded down.
    """
    import numpy as np

    if count <= limit:
        return tuple(range(count))
    if limit == 1:
        return (count // 2,)
    return tuple(np.linspace(0, count - 1, limit, dtype=int).tolist())


def shown_frames(count: int, settings: ImageSettings, files: int) -> tuple[int, ...]:
    """Indices of the frames that a question shows of one of its files.

    The files share the route's number of frames evenly, so that a question never shows more pictures than the greater
    of `frames` and `max_count`.

    Args:
        count: How many frames the file has.
        settings: The route's image settings.
        files: How many files the question shows.
    """
    return frame_indices(count, max(1, settings.frames // files))


def check_size(width: int, height: int, count: int = 1, max_pixels: int = MAX_PIXELS) -> None:
    """Raises ImageError where a header names more pixels than may be decoded, or none."""
    if min(width, height, count) < 1:
        raise ImageError(f"{count} frames of {width} x {height} pixels show nothing")
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} pixels are more than the allowed {max_pixels}")
    if count > MAX_FRAMES:
        raise ImageError(f"{count} frames are more than the allowed {MAX_FRAMES}")
    if count > 1 and width * height * count > MAX_VOLUME:
        raise ImageError(f"{count} frames of {width} x {height} pixels are more than the allowed {MAX_VOLUME} pixels")


@dataclass(frozen=True)
class Volume:
    """Slices of an array of gray values.

    Attributes:
        planes: Stored values, (slices, height, width).
        intensity: Which values become black and white.
        slope: Times a stored value, and
        intercept: plus this, is the real one.
    """

    planes: NDArray[Any]
    intensity: Intensity
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def count(self) -> int:
        """Number of slices."""
        return len(self.planes)

    @cached_property
    def _span(self) -> Span:
        return joined(finite_span(self._plane(index)) for index in range(self.count))

    def _plane(self, index: int) -> NDArray[np.float64]:
        import numpy as np

        plane: NDArray[np.float64] = self.planes[index].astype(np.float64) * self.slope + self.intercept
        return plane

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields slices."""
        from PIL import Image

        for index in indices:
            plane = self._plane(index)
            span = self._span if self.intensity == "volume" else joined([finite_span(plane)])
            yield Image.fromarray(gray_levels(plane, span)).convert("RGB")
