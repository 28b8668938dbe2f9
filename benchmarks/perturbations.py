"""What the levels of each perturbation are on real pictures: `python -m benchmarks.perturbations`.

Prints the table of docs/perturbations.md: for six pictures of scikit-image and pydicom, each as a model would get
it, the perturbations of its modality with parameter and SSIM of each level. Dermoscopy and endoscopy, of which neither
package has a picture, are shown on the fundus photograph. `--strip FILE` writes that page's picture.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.tables import table
from mevlip.flare.images import load_image
from mevlip.flare.pixels import fit_pixel_budget
from mevlip_validation.defaults import SEED
from mevlip_validation.perturbations.registry import choose, find
from mevlip_validation.perturbations.showing import HEADER, draw_strip, make_series, table_row

PICTURES = (
    ("ihc.png", "Microscopy"),
    ("retina.jpg", "Retinography"),
    ("retina.jpg", "Dermatology"),
    ("retina.jpg", "Endoscopy"),
    ("RG1_UNCI.dcm", "Xray"),
    ("US1_UNCI.dcm", "Ultrasound"),
    ("693_UNCI.dcm", "CT"),
    ("MR2_UNCI.dcm", "MRI"),
)
STRIP = ("gaussian_noise", "jpeg", "rotation", "stain_variation")
"""Perturbations on the page's picture."""


def read_picture(name: str) -> Image.Image:
    """A picture of scikit-image or pydicom, fitted as for a model."""
    if name.endswith(".dcm"):
        path = get_testdata_file(name, download=False)
        if not isinstance(path, str):
            sys.exit(f"{name} is not installed: pip install pydicom-data")
        values = dcmread(path).pixel_array.astype(np.float64)
        scaled = (values - values.min()) * (255 / (values.max() - values.min()))
        picture = Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")
    else:
        picture = load_image(Path(skimage.__file__).parent / "data" / name)
    settings = ImageSettings()
    return fit_pixel_budget(picture, settings.min_pixels, settings.max_pixels)


def rows() -> Iterator[tuple[str, ...]]:
    """The table's rows: a picture's name and what `mevlip robust show` says of it."""
    seen: set[tuple[str, str]] = set()
    for name, modality in PICTURES:
        picture = read_picture(name)
        for one in choose(modality):
            if (name, one.name) not in seen:
                seen.add((name, one.name))
                yield name, *table_row(make_series(picture, one, SEED))


def write_strip(path: Path) -> None:
    """Writes strips of a part of the microscopic picture, one below the other."""
    picture = read_picture("ihc.png").crop((0, 0, 256, 256))
    strips = [draw_strip(make_series(picture, find(name), SEED)) for name in STRIP]
    page = Image.new("RGB", (strips[0].width, sum(one.height for one in strips)))
    for place, strip in enumerate(strips):
        page.paste(strip, (0, place * strips[0].height))
    page.thumbnail((1000, 1000))
    page.save(path, quality=50)


def main(arguments: list[str]) -> None:
    """Runs from the command line."""
    if arguments[:1] == ["--strip"]:
        write_strip(Path(arguments[1]))
        return
    print(table(("picture", *HEADER), rows()))


if __name__ == "__main__":
    main(sys.argv[1:])
