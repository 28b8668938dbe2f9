"""Real pictures in the forms in which challenge files come, from packages that ship them.

Photographs come as they are; DICOM pixel values are written as PNG, TIFF and JPEG, in their own size and bit depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import tifffile
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def _package(name: str, *parts: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *parts)


SKIMAGE = _package("skimage", "data")
DICOM = (_package("pydicom", "data", "test_files"), _package("data_store", "data"))


@cache
def dicom(name: str) -> pydicom.Dataset:
    """A DICOM file of the packages pydicom and pydicom-data."""
    return pydicom.dcmread(next(folder / name for folder in DICOM if (folder / name).is_file()))


def values(name: str, frame: int | None = None) -> Array:
    """Its stored pixel values, of one frame where there are several."""
    array: Array = dicom(name).pixel_array
    return array if frame is None else array[frame]


def png(array: Array, path: Path) -> None:
    Image.fromarray(array).save(path)


def jpeg(array: Array, path: Path) -> None:
    Image.fromarray(array).save(path, quality=95)


def tiff(array: Array, path: Path, **options: Any) -> None:
    tifffile.imwrite(path, array, **options)


@dataclass(frozen=True)
class Picture:
    """A picture and what reading it should give.

    Attributes:
        name: Its file name.
        values: Its pixel values, (height, width) or (height, width, 3).
        write: Writes them to a path; None for a file that comes as it is.
        source: The file that comes as it is.
        inverted: Whether low values are bright.
        lossy: Whether pixels may differ a little after reading.
    """

    name: str
    values: Callable[[], Array]
    write: Callable[[Array, Path], None] | None = None
    source: Path | None = None
    inverted: bool = False
    lossy: bool = False

    def put(self, folder: Path) -> Path:
        """Writes the picture into a folder."""
        path = folder / self.name
        if self.source is not None:
            path.write_bytes(self.source.read_bytes())
        else:
            assert self.write is not None
            self.write(self.values(), path)
        return path

    def expected(self) -> Array:
        """The 8-bit RGB pixels that reading should give, (height, width, 3)."""
        array = self.values()
        if array.dtype != np.uint8:
            scaled = array.astype(np.float64)
            scaled = (scaled - scaled.min()) * (255 / (scaled.max() - scaled.min()))
            array = scaled.round().astype(np.uint8)
        if self.inverted:
            array = 255 - array
        return np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array


def _eight_bit(array: Array) -> Array:
    return (array.astype(np.float64) * (255 / array.max())).round().astype(np.uint8)


def _photograph(name: str) -> Picture:
    path = SKIMAGE / name
    return Picture(name, lambda: np.asarray(Image.open(path)), source=path)


def _white_is_zero(array: Array, path: Path) -> None:
    tiff(array, path, photometric="miniswhite")


def _compressed(array: Array, path: Path) -> None:
    tiff(array, path, compression="zlib")


def _frames(array: Array, path: Path) -> None:
    tiff(values("color3d_jpeg_baseline.dcm")[:12], path, photometric="rgb")


PICTURES = (
    _photograph("ihc.png"),
    _photograph("retina.jpg"),
    _photograph("microaneurysms.png"),
    _photograph("cell.png"),
    Picture("chest_15_bit.png", lambda: values("RG1_UNCI.dcm"), png),
    Picture("chest_monochrome1.tif", lambda: values("RG1_UNCR.dcm"), _white_is_zero, inverted=True),
    Picture("extremity_10_bit.png", lambda: values("RG3_UNCI.dcm"), png),
    Picture("extremity.jpg", lambda: _eight_bit(values("RG3_UNCR.dcm")), jpeg, lossy=True),
    Picture("ct_signed.tif", lambda: values("693_UNCI.dcm"), tiff),
    Picture("ct_small_signed.tif", lambda: values("CT_small.dcm"), tiff),
    Picture("mr_12_bit.tif", lambda: values("MR2_UNCI.dcm"), _compressed),
    Picture("mr_float.tif", lambda: values("MR_small.dcm").astype(np.float32), tiff),
    Picture("mr_head_64.png", lambda: values("emri_small.dcm", 4), png),
    Picture("ultrasound.png", lambda: values("US1_UNCI.dcm"), png),
    Picture("ultrasound.jpg", lambda: values("US1_UNCR.dcm"), jpeg, lossy=True),
    Picture("ultrasound_120_frames.tif", lambda: values("color3d_jpeg_baseline.dcm", 0), _frames),
)


def sizes() -> Iterator[tuple[str, int, int]]:
    """Name, width and height of each picture."""
    for picture in PICTURES:
        height, width = picture.values().shape[:2]
        yield picture.name, width, height
