"""Small pictures, and a camera's orientation."""

from __future__ import annotations

import numpy as np
from PIL import Image

GRAY = np.linspace(0, 255, 48, dtype=np.uint8).reshape(6, 8)
COLOR = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], axis=-1)


def orientation(number: int) -> Image.Exif:
    """Exif data that say how the camera was held, from 1, upright, to 8."""
    exif = Image.Exif()
    exif[0x0112] = number
    return exif
