"""What kind of file it is, by its content: names say nothing."""

from __future__ import annotations

import zlib
from enum import Enum
from typing import IO

_HEAD = 352
"""Bytes that tell: a NIfTI header's magic comes at 344."""
_STILL = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of still pictures that come in the same container as films; they are not read."""


class Kind(Enum):
    """Files with frames that are not Pillow's."""

    DICOM = "DICOM"
    ARRAY = ".npy"
    NIFTI = "NIfTI"
    PACKED_NIFTI = "NIfTI, gzip"
    MP4 = "mp4"
    MATROSKA = "matroska"
    AVI = "avi"


def kind_of(file: IO[bytes]) -> Kind | None:
    """The kind of an open file, read from its start and then put back there; None where it is for Pillow to say."""
    head = file.read(_HEAD)
    file.seek(0)
    if head[128:132] == b"DICM":
        return Kind.DICOM
    if head.startswith(b"\x93NUMPY"):
        return Kind.ARRAY
    if _is_nifti(head):
        return Kind.NIFTI
    if head.startswith(b"\x1f\x8b"):
        return Kind.PACKED_NIFTI if _is_nifti(_unpacked_head(head)) else None
    if head[4:8] == b"ftyp" and head[8:12] not in _STILL:
        return Kind.MP4
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Kind.MATROSKA
    return Kind.AVI if head.startswith(b"RIFF") and head[8:12] == b"AVI " else None


def _is_nifti(head: bytes) -> bool:
    sizes = head[:4], head[3::-1]  # of the header, in either order of bytes
    if (348).to_bytes(4) in sizes:
        return head[344:348] in (b"n+1\0", b"ni1\0")
    return (540).to_bytes(4) in sizes and head[4:8] in (b"n+2\0", b"ni2\0")


def _unpacked_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""
