"""Which files bare Pillow, and so LLaMA-Factory, shows as prediction does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.flare.images import load_image
from mevlip.flare.store import is_plain
from tests.mevlip.flare.pixels import COLOR, GRAY, orientation

ZOO: dict[str, tuple[Image.Image, str, dict[str, Any], bool]] = {
    "rgb.png": (Image.fromarray(COLOR), "PNG", {}, True),
    "gray.png": (Image.fromarray(GRAY), "PNG", {}, True),
    "rgb.jpg": (Image.fromarray(COLOR), "JPEG", {}, True),
    "rgb.tif": (Image.fromarray(COLOR), "TIFF", {}, True),
    "rgb.bmp": (Image.fromarray(COLOR), "BMP", {}, True),
    "upright.jpg": (Image.fromarray(COLOR), "JPEG", {"exif": orientation(1)}, True),
    "rotated.jpg": (Image.fromarray(COLOR), "JPEG", {"exif": orientation(6)}, False),
    "rotated.png": (Image.fromarray(COLOR), "PNG", {"exif": orientation(3)}, False),
    "deep.png": (Image.fromarray(GRAY.astype(np.uint16) * 100), "PNG", {}, False),
    "float.tif": (Image.fromarray(GRAY.astype(np.float32)), "TIFF", {}, False),
    "palette.png": (Image.fromarray(COLOR).quantize(8), "PNG", {}, False),
    "rgba.png": (Image.fromarray(np.dstack([COLOR, GRAY])), "PNG", {}, False),
    "la.png": (Image.fromarray(np.dstack([GRAY, GRAY]), "LA"), "PNG", {}, False),
    "see-through.png": (Image.fromarray(GRAY), "PNG", {"transparency": 0}, False),
    "cmyk.jpg": (Image.fromarray(COLOR).convert("CMYK"), "JPEG", {}, False),
    "bits.png": (Image.fromarray(GRAY).convert("1"), "PNG", {}, False),
    "pages.tif": (
        Image.fromarray(GRAY), "TIFF", {"save_all": True, "append_images": [Image.fromarray(GRAY[::-1])]}, False,
    ),
    "rare.tga": (Image.fromarray(COLOR), "TGA", {}, False),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("name", ZOO)
def test_a_file_is_plain_only_where_bare_pillow_shows_what_prediction_sees(tmp_path: Path, name: str) -> None:
    image, kind, options, plain = ZOO[name]
    image.save(tmp_path / name, kind, **options)
    assert is_plain(tmp_path / name) is plain
    if plain:
        with Image.open(tmp_path / name) as bare:
            assert np.array_equal(np.asarray(bare.convert("RGB")), np.asarray(load_image(tmp_path / name)))
