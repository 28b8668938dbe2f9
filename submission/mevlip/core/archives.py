"""Reading zip archives of strangers: neither a directory nor a member takes more memory than allowed."""

from __future__ import annotations

import io
import zipfile

from mevlip.core.files import too_large

MAX_DIRECTORY = 64 * 1024 * 1024
"""Most bytes of an archive's directory, which is read as a whole: some 400,000 long names."""


class BadMember(ValueError):
    """A member that cannot be read; its text is the cause, as a predicate."""


class _Directory(io.BufferedReader):
    """An archive's file while its directory is read: zipfile reads as much at once as the archive says."""

    most: int | None = MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise zipfile.BadZipFile(f"its directory has more than the allowed {self.most / 2**20:g} MiB")
        return super().read(size)


def open_archive(file: io.BufferedReader | io.BytesIO) -> zipfile.ZipFile:
    """Opens an archive and reads its directory.

    Raises:
        Exception: It is damaged, or its directory is too large; zipfile has many kinds of errors.
    """
    bounded = _Directory(file)
    archive = zipfile.ZipFile(bounded)
    bounded.most = None
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Unpacks a member in memory.

    Args:
        archive: The archive.
        member: Its entry, whose sizes may be lies.
        limit: Most bytes that it may have, packed or unpacked.

    Raises:
        BadMember: It is too large, packed in another way than zip's own, encrypted or damaged.
    """
    # Both sizes are the directory's word; what is read and unpacked below is bounded by them.
    if max(member.file_size, member.compress_size) > limit:
        raise BadMember(too_large(limit))
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadMember("is packed by another method than deflate, whose memory has no bound")
    try:
        with archive.open(member) as file:
            # A bare read() would unpack up to 2 GiB of a member that claims less.
            return file.read(member.file_size)
    except Exception as error:
        cause = "it is encrypted" if member.flag_bits & 1 else f"{type(error).__name__}: {error}"
        raise BadMember(f"cannot be unpacked ({cause})") from error
