"""Opening any file of a question as frames: the one way by which prediction, checks and training data read images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem, describe
from mevlip.core.extras import needing
from mevlip.core.files import NotReadable, open_regular
from mevlip.flare.frames.base import Frames
from mevlip.flare.frames.kinds import Kind, kind_of
from mevlip.flare.frames.pages import Pages
from mevlip.flare.pixels import MAX_BYTES, MAX_PIXELS, ImageError

if TYPE_CHECKING:
    from mevlip.checkpoints.routes import Intensity


@contextmanager
def open_frames(
    content: Path | bytes, intensity: Intensity = "volume", max_pixels: int = MAX_PIXELS
) -> Iterator[Frames]:
    """Opens an image file by its content.

    Args:
        content: The file, whose extension does not matter, or its bytes.
        intensity: Which values of a volume become black and white.
        max_pixels: Bound on width x height, checked on the header, before any pixel is decoded.

    Raises:
        ImageError: The file is empty, truncated, too large or not an image, or its package is not installed; so do the
            frames where they are damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of harmless damage, of errors below, of a laxer bound than ours
            BytesIO(content) if isinstance(content, bytes) else open_regular(content, MAX_BYTES) as file,
        ):
            if not file.read(1):
                raise ImageError("the file is empty")
            file.seek(0)
            yield _open(file, intensity, max_pixels)
    except ImageError:
        raise
    except EnvironmentProblem as error:
        raise ImageError(f"{error.cause}; {error.remedy}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than the allowed {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError("the file is not a readable image") from error
    except NotReadable as error:
        raise ImageError(error.strerror) from error
    except Exception as error:
        raise ImageError(f"cannot be decoded ({describe(error)})") from error


def _open(file: IO[bytes], intensity: Intensity, max_pixels: int) -> Frames:
    kind = kind_of(file)
    if kind is None:
        return Pages(file, intensity, max_pixels)
    if kind is Kind.DICOM:
        from mevlip.flare.frames.dicom import Dicom

        return Dicom(file, intensity, max_pixels)
    if kind in (Kind.ARRAY, Kind.NIFTI, Kind.PACKED_NIFTI):
        with needing("volumes", "A NIfTI volume needs"):
            from mevlip.flare.frames import arrays

            if kind is Kind.ARRAY:
                return arrays.read_array(file, intensity)
            return arrays.read_nifti(file, intensity, packed=kind is Kind.PACKED_NIFTI)
    with needing("video", "A film needs"):
        from mevlip.flare.frames.video import Video
    return Video(file, kind.value)
