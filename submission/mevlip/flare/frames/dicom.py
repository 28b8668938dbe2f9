"""DICOM images of one frame or several, as a viewer shows them first."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import pydicom
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from mevlip.flare.frames.base import check_size
from mevlip.flare.pixels import MAX_BYTES, ImageError, Span, finite_span, gray_levels, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from pydicom import Dataset

    from mevlip.checkpoints.routes import Intensity

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_PILLOWS = {JPEGBaseline8Bit: "JPEG", JPEG2000: "JPEG2000", JPEG2000Lossless: "JPEG2000"}
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_REMEDY = "convert it to Explicit VR Little Endian (dcmconv, gdcmconv --raw)"
_LONGEST_RLE = 8 << 20
"""Bytes of a run-length coded frame: two of them can become 128."""
_NARROWEST = 1e-3
"""Of a window; narrower ones are thresholds."""
_EIGHT_BITS, _META = 8, 2

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote a patient's data


class Dicom:
    """An open DICOM file.

    Gray frames have their rescaling applied, then the file's first window or VOI lookup table. Without one, values of
    up to 8 bits are shown as they are stored and deeper ones scaled by their range. MONOCHROME1 is inverted.

    Args:
        file: The open file.
        intensity: Which values of deep frames without a window become black and white.
        max_pixels: Bound on width x height, checked on the header.

    Raises:
        ImageError: It holds no image, one that is too large, or one that is coded in another way.
    """

    def __init__(self, file: IO[bytes], intensity: Intensity, max_pixels: int) -> None:
        syntax = _transfer_syntax(file)
        if syntax not in (*_PLAIN, *_PILLOWS, RLELossless):
            raise ImageError(f"its transfer syntax, {syntax.name}, is not read; {_REMEDY}")
        self._data: Dataset = pydicom.dcmread(file)
        self._intensity = intensity
        self._kind = str(self._data.get("PhotometricInterpretation", ""))
        if "PixelData" not in self._data or not self._kind:
            raise ImageError(f"it holds no image ({self._data.get('Modality', 'unknown modality')})")
        if self._kind not in (*_GRAY, *_COLORS, "PALETTE COLOR"):
            raise ImageError(f"its photometric interpretation, {self._kind[:16]!r}, is not read")
        segmented = "SegmentedRedPaletteColorLookupTableData" in self._data  # a few bytes of it may stand for billions
        if self._kind == "PALETTE COLOR" and (segmented or syntax == ExplicitVRBigEndian):
            raise ImageError(f"its palette is {'segmented' if segmented else 'big-endian'}, which is not read")
        self._count = int(self._data.get("NumberOfFrames") or 1)
        size = int(self._data.Columns), int(self._data.Rows)
        check_size(*size, self._count, max_pixels)
        samples, bits = int(self._data.SamplesPerPixel), int(self._data.BitsAllocated)
        if samples not in (1, 3) or bits not in (1, 8, 16, 32) or size[0] * size[1] * samples * bits > 8 * MAX_BYTES:
            raise ImageError(f"{size[0]} x {size[1]} pixels of {samples} x {bits} bits are not read")
        if syntax not in _PLAIN:
            self._check_frames(size, syntax)
        self._syntax = syntax

    @property
    def count(self) -> int:
        """Number of frames."""
        return self._count

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields frames."""
        from PIL import Image

        for index, stored in zip(indices, self._stored(indices), strict=True):
            show = self._gray if self._kind in _GRAY else self._colored
            yield Image.fromarray(show(index, stored)).convert("RGB")

    def _check_frames(self, size: tuple[int, int], syntax: pydicom.uid.UID) -> None:
        """Looks at the size of each compressed frame before it is unpacked."""
        from PIL import Image

        for frame in generate_frames(self._data.PixelData, number_of_frames=self._count):
            if syntax == RLELossless:
                if len(frame) > _LONGEST_RLE:
                    raise ImageError(f"a frame has {len(frame)} bytes of RLE, more than are unpacked; {_REMEDY}")
                continue
            with Image.open(BytesIO(frame), formats=(_PILLOWS[syntax],)) as opened:
                if opened.size != size:
                    raise ImageError(f"a frame has {opened.width} x {opened.height} pixels, not {size[0]} x {size[1]}")

    def _stored(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Stored values of frames, of (height, width) or (height, width, 3); YBR is RGB already."""
        plugin = "pydicom" if self._syntax == RLELossless else "pillow" if self._syntax in _PILLOWS else ""
        for array, _ in get_decoder(self._syntax).iter_array(self._data, indices=indices, decoding_plugin=plugin):
            yield array

    def _colored(self, index: int, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Colors of 8 bits."""
        import numpy as np

        bits = int(self._data.BitsStored)
        if self._kind == "PALETTE COLOR":
            stored = apply_color_lut(stored, self._data)[..., :3]
            bits = 8 * stored.itemsize
        return gray_levels(stored.astype(np.float64), (0, 2**bits - 1))

    def _gray(self, index: int, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Gray levels of 8 bits."""
        levels = self._levels(index, stored)
        return 255 - levels if self._kind == "MONOCHROME1" else levels

    def _levels(self, index: int, stored: NDArray[Any]) -> NDArray[np.uint8]:
        import numpy as np

        values = self._rescaled(index, stored)
        if tables := self._data.get("VOILUTSequence"):
            shown = apply_voi(values.round().astype(np.int64), self._data)
            return gray_levels(shown.astype(np.float64), (0, 2 ** int(tables[0].LUTDescriptor[2]) - 1))
        window = self._group(index, "FrameVOILUTSequence")
        if window.get("WindowCenter") is not None and window.get("WindowWidth") is not None:
            return _windowed(values, window)
        bits = int(self._data.BitsStored)
        if bits <= _EIGHT_BITS and not self._data.PixelRepresentation:
            return gray_levels(stored.astype(np.float64), (0, 2**bits - 1))
        span = self._span if self._intensity == "volume" else joined([finite_span(values)])
        return gray_levels(values, span)

    @cached_property
    def _span(self) -> Span:
        """Least and greatest value of all frames."""
        frames = range(self._count)
        return joined(finite_span(self._rescaled(*one)) for one in enumerate(self._stored(frames)))

    def _rescaled(self, index: int, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Real values: Hounsfield units of a CT."""
        import numpy as np

        if self._data.get("ModalityLUTSequence"):
            table: NDArray[Any] = apply_modality_lut(stored, self._data)
            return table.astype(np.float64)
        group = self._group(index, "PixelValueTransformationSequence")
        slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
        values: NDArray[np.float64] = stored.astype(np.float64)
        return values if slope is None or intercept is None else values * float(slope) + float(intercept)

    def _group(self, index: int, name: str) -> Dataset:
        """Where a frame's settings of a kind stand: its own, those that all frames share, or the image's."""
        own = self._data.get("PerFrameFunctionalGroupsSequence") or ()
        shared = self._data.get("SharedFunctionalGroupsSequence") or ()
        for group in (*own[index : index + 1], *shared[:1]):
            if found := group.get(name):
                return found[0]  # type: ignore[no-any-return]
        return self._data


def _transfer_syntax(file: IO[bytes]) -> pydicom.uid.UID:
    """How the rest of a file is coded, read from the group of elements that comes first; deflated is not unpacked."""
    file.seek(132)
    meta = read_dataset(cast("BinaryIO", file), False, True, stop_when=lambda tag, *_: tag >> 16 != _META)
    file.seek(0)
    syntax = pydicom.uid.UID(str(meta.get("TransferSyntaxUID", "")))
    if not syntax:
        raise ImageError("its header names no transfer syntax")
    return syntax


def _windowed(values: NDArray[np.float64], window: Dataset) -> NDArray[np.uint8]:
    """Applies a window as DICOM defines it (PS3.3, C.11.2.1); of several the first."""
    import numpy as np

    center, width = (float(_first(window.get(name))) for name in ("WindowCenter", "WindowWidth"))
    shape = str(window.get("VOILUTFunction") or "LINEAR")
    if shape == "SIGMOID":
        levels = 1 / (1 + np.exp((-4 * (values - center) / max(width, 1e-9)).clip(-700, 700)))
        return gray_levels(levels, (0, 1))
    half = (center - 0.5, (width - 1) / 2) if shape == "LINEAR" else (center, width / 2)
    low, high = half[0] - half[1], half[0] + half[1]
    return gray_levels(values, (low, max(high, low + _NARROWEST)))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, pydicom.multival.MultiValue) else value
