"""Volumes in files: numpy's .npy and NIfTI. Only their headers are parsed; sizes are checked before values are read."""

from __future__ import annotations

import gzip
import warnings
from math import isfinite, nan, prod
from typing import IO, TYPE_CHECKING, Any, cast

from mevlip.core.files import too_large
from mevlip.flare.frames.base import Volume, check_size
from mevlip.flare.pixels import MAX_BYTES, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mevlip.checkpoints.routes import Intensity

_AXES = ("L", "P", "S")
"""Where columns, rows and slices go: as radiologists look at axial slices, from below, and as DICOM has them."""
_FARTHEST = 1e9
"""Millimeters, of a voxel or its place."""
_LARGEST_START = 1 << 20
"""Bytes of a NIfTI file before its values: header and extensions."""


def read_array(file: IO[bytes], intensity: Intensity) -> Volume:
    """Reads a .npy file of (slices, height, width), with or without a leading 1, or of (height, width).

    Raises:
        ImageError: It has another shape, is too large or cut off, or holds no real numbers.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ImageError(f"its .npy version is {version[0]}.{version[1]}, not 1.0 or 2.0")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ImageError(f"it holds {dtype}, not real numbers")
    solid = shape[1:] if len(shape) == 4 and shape[0] == 1 else (1, *shape) if len(shape) == 2 else shape
    if len(solid) != 3:
        raise ImageError(f"its shape is {shape}, not (slices, height, width)")
    check_size(solid[2], solid[1], solid[0])
    return Volume(_values(file, dtype, solid, fortran), intensity)


def read_nifti(file: IO[bytes], intensity: Intensity, *, packed: bool) -> Volume:
    """Reads axial slices of a NIfTI file, from the feet to the head, the patient's right on the left, front at the top.

    An image that lies askew is turned to the nearest axes; voxels are shown as square.

    Args:
        file: The open file.
        intensity: Which values become black and white.
        packed: Whether it is gzip's.

    Raises:
        ModuleNotFoundError: nibabel is not installed.
        ImageError: Its values are in another file, it has no three dimensions, is too large or cut off, or is in color.
    """
    import nibabel
    from nibabel import orientations

    if packed:
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    second = file.read(8)[4:] in (b"n+2\0", b"ni2\0")
    file.seek(0)
    kind = nibabel.Nifti2Header if second else nibabel.Nifti1Header
    with warnings.catch_warnings(action="ignore"):
        header = kind.from_fileobj(file, check=False)
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        affine = header.get_best_affine()
    if bytes(header["magic"].item())[:2] == b"ni":
        raise ImageError("its values are in another file (.img); convert it to one .nii file")
    if dtype.names or dtype.kind not in "biuf":
        raise ImageError(f"it holds {'colors' if dtype.names else dtype}, not real numbers")
    solid = (*shape, 1) if len(shape) == 2 else shape[:3]
    if len(solid) != 3 or prod(shape[3:]) != 1:
        raise ImageError(f"its shape is {shape}; a volume of three dimensions is needed, one moment of a series")
    lying = orientations.io_orientation(affine) if (abs(affine) < _FARTHEST).all() else affine[:3, :2] * nan
    if sorted(lying[:, 0]) != [0, 1, 2]:
        raise ImageError("its header does not say how the patient lies")
    turn = orientations.ornt_transform(lying, orientations.axcodes2ornt(_AXES))
    start = int(header["vox_offset"])
    if not file.tell() <= start <= _LARGEST_START:
        raise ImageError(f"its values cannot begin at byte {start}")
    columns, rows, slices = (solid[int(axis)] for axis in turn[:, 0].argsort())
    check_size(columns, rows, slices)
    file.seek(start)
    values = _values(file, dtype, solid, fortran=True)
    planes = orientations.apply_orientation(values, turn).transpose(2, 1, 0)
    if slope is None or intercept is None or not (isfinite(slope) and isfinite(intercept)):
        slope, intercept = 1.0, 0.0
    return Volume(planes, intensity, float(slope), float(intercept))


def _values(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
    """The values that follow in a file."""
    import numpy as np

    size = dtype.itemsize * prod(shape)
    if size > MAX_BYTES:
        raise ImageError(f"its values are {size} bytes; the file {too_large(MAX_BYTES)}")
    content = file.read(size)
    if len(content) < size:
        raise ImageError(f"it ends after {len(content)} of {size} bytes of values")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
