"""Moving pixels and boxes by one and the same affine map.

Points are continuous: the pixel of column 0 reaches from 0 to 1, so a picture's center is (width / 2, height / 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_LEFT = 0.25
"""A box of which less than this share is left inside the picture is dropped."""

Corners = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max."""


class Affine(NamedTuple):
    """Where each point goes: `(xx·x + xy·y + x0, yx·x + yy·y + y0)`."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    def inverted(self) -> Affine:
        """Where each point comes from."""
        xx, xy, x0, yx, yy, y0 = self
        area = xx * yy - xy * yx
        return Affine(
            yy / area, -xy / area, (xy * y0 - yy * x0) / area, -yx / area, xx / area, (yx * x0 - xx * y0) / area
        )

    def scaled(self, x: float, y: float) -> Affine:
        """The same movement of a picture that is `x` times as wide and `y` times as high."""
        return Affine(self.xx, self.xy * x / y, self.x0 * x, self.yx * y / x, self.yy, self.y0 * y)


STILL = Affine(1, 0, 0, 0, 1, 0)


def about_center(size: tuple[int, int], xx: float, xy: float, yx: float, yy: float) -> Affine:
    """A linear map that leaves the center of a picture of that width and height where it is."""
    x, y = size[0] / 2, size[1] / 2
    return Affine(xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y)


def warp(pixels: NDArray[np.floating[Any]], to: Affine) -> NDArray[np.floating[Any]]:
    """Moves a picture (height, width, channels), bilinear; what was outside is black."""
    if to == STILL:
        return pixels
    height, width, channels = pixels.shape
    moved = [
        Image.fromarray(pixels[..., channel].astype(np.float32)).transform(
            (width, height), Image.Transform.AFFINE, tuple(to.inverted()), Image.Resampling.BILINEAR
        )
        for channel in range(channels)
    ]
    return np.stack([np.asarray(one, dtype=np.float32) for one in moved], axis=2)


def warp_labels(labels: NDArray[np.int32], to: Affine) -> NDArray[np.int32]:
    """Moves a mask of labels (height, width) as `warp` moves its picture: the nearest label, and 0 from outside."""
    if to == STILL:
        return labels
    moved = Image.fromarray(labels).transform(
        (labels.shape[1], labels.shape[0]), Image.Transform.AFFINE, tuple(to.inverted()), Image.Resampling.NEAREST
    )
    return np.asarray(moved, dtype=np.int32)


@dataclass(frozen=True)
class BoxMap:
    """Where a perturbed picture has the boxes of the clean one.

    Attributes:
        to: Where each point went.
        size: Width and height of the picture whose pixels the boxes are in.
    """

    to: Affine
    size: tuple[int, int]

    def at(self, size: tuple[int, int]) -> BoxMap:
        """The same for boxes in the pixels of a smaller or larger copy, such as the original before it was fitted."""
        return BoxMap(self.to.scaled(size[0] / self.size[0], size[1] / self.size[1]), size)

    def move(self, box: Corners, *, ellipse: bool = False) -> Corners | None:
        """Moves a box and clips it to the picture.

        Args:
            box: The box of the clean picture.
            ellipse: Whether the box is around something round, such as a lesion: the result is the box around the
                moved ellipse inside. Else it is the box around the moved corners.

        Returns:
            The box, or None where less than a quarter of it is left inside the picture.
        """
        if self.to == STILL:
            return box
        to = self.to
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        a, b = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        x, y = to.xx * x + to.xy * y + to.x0, to.yx * x + to.yy * y + to.y0
        if ellipse:
            half_width, half_height = hypot(to.xx * a, to.xy * b), hypot(to.yx * a, to.yy * b)
        else:
            half_width, half_height = abs(to.xx) * a + abs(to.xy) * b, abs(to.yx) * a + abs(to.yy) * b
        left, right = max(0.0, x - half_width), min(float(self.size[0]), x + half_width)
        top, bottom = max(0.0, y - half_height), min(float(self.size[1]), y + half_height)
        area = 4 * half_width * half_height
        if right <= left or bottom <= top or (right - left) * (bottom - top) < LEAST_LEFT * area:
            return None
        return left, top, right, bottom
