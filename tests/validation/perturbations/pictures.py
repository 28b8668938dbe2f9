"""Small pictures, synthetic and real."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from mevlip.flare.images import load_image
from tests.mevlip.real_pictures import SKIMAGE, values


def synthetic(width: int = 64, height: int = 48, *, gray: bool = False, seed: int = 0) -> Image.Image:
    """Noise over a slope, values far from black and white."""
    random = np.random.default_rng(seed)
    slope = np.linspace(70, 150, width)[None, :, None] + np.zeros((height, 1, 1))
    drawn = slope + random.uniform(-30, 30, (height, width, 1 if gray else 3))
    return Image.fromarray(np.broadcast_to(drawn, (height, width, 3)).round().astype(np.uint8))


@cache
def real(name: str) -> Image.Image:
    """A real picture, its longer side 128 pixels."""
    if name in ("ihc", "retina"):
        picture = load_image(next(SKIMAGE.glob(f"{name}.*")))
    else:
        frame = values({"radiograph": "RG1_UNCI.dcm", "ultrasound": "US1_UNCI.dcm"}[name])
        picture = Image.fromarray((frame / frame.max() * 255).astype(np.uint8)).convert("RGB")
    picture.thumbnail((128, 128))
    return picture


REAL = ("ihc", "retina", "radiograph", "ultrasound")
