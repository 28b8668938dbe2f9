"""Files of several frames whose values are known, and DICOM files that pydicom's packages ship."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import nibabel
import numpy as np
from nibabel import orientations
from numpy.typing import NDArray
from PIL import Image

from tests.mevlip.real_pictures import DICOM

Array = NDArray[Any]


def dicom_path(name: str) -> Path:
    """A file of the packages pydicom and pydicom-data."""
    return next(folder / name for folder in DICOM if (folder / name).is_file())


def slices(depth: int = 32, height: int = 40, width: int = 48) -> Array:
    """A volume whose values tell place and slice: brighter to the right, downward and with every slice."""
    down, right = np.mgrid[:height, :width]
    return np.stack([(right + 100 * down + 10_000 * index).astype(np.float32) for index in range(depth)])


def gray(values: Array, low: float, high: float) -> Array:
    """What values look like where `low` is black and `high` is white, (height, width)."""
    return ((values - low) * (255 / (high - low))).round().astype(np.uint8)


def npy(array: Array, **options: Any) -> bytes:
    """A .npy file."""
    file = BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def nifti(planes: Array, axes: str = "LPS", kind: Any = nibabel.Nifti1Image, **header: Any) -> bytes:
    """A NIfTI file of slices, (slices, height, width) from feet to head as radiologists see them, stored along axes."""
    image = kind(planes.transpose(2, 1, 0), np.diag([-1.0, -1.0, 2.0, 1.0]))
    wanted = orientations.axcodes2ornt(tuple(axes))
    turned = image.as_reoriented(orientations.ornt_transform(orientations.io_orientation(image.affine), wanted))
    for name, value in header.items():
        turned.header[name] = value
    content: bytes = turned.to_bytes()
    return content


def film(frames: int, rate: int, container: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A film of 64 x 48 pixels that goes from black to white."""
    file = BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream: Any = opened.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            picture = np.full((48, 64, 3), index * 255 // max(frames - 1, 1), np.uint8)
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        opened.mux(stream.encode(None))
    return file.getvalue()


def pages(kind: str, arrays: list[Array], **options: Any) -> bytes:
    """A TIFF or GIF file of several pages."""
    file = BytesIO()
    first, *rest = map(Image.fromarray, arrays)
    first.save(file, kind, save_all=True, append_images=rest, **options)
    return file.getvalue()
