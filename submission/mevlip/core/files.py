"""Reading foreign files within bounds; writing files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem

LARGEST_LIST = 256 * 1024 * 1024
"""Most bytes of a predictions or explanations file that is read."""

_LEAST = 1 << 20
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}

REMEDY = "Name another place, or free space on the disk."


class NotReadable(OSError):
    """A file that may not be read: not a regular one, too large, or outside the folder that it should lie in."""

    def __init__(self, code: int, cause: str, path: Path) -> None:
        super().__init__(code, cause, str(path))


class _Frugal(BufferedReader):
    """A file that sets aside no more memory than it has bytes, however many a lying header makes its reader ask for."""

    most: int

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, self.most))


def open_regular(path: Path, limit: int, inside: Path | None = None) -> BufferedReader:
    """Opens a regular file for reading; a pipe, device or socket is refused without waiting for it.

    Whatever is checked is checked on the open file, which nobody can exchange in between.

    Args:
        path: The file, or a link to it.
        limit: Most bytes that it may have.
        inside: A folder, resolved, that links may not leave; None to follow them anywhere.

    Raises:
        OSError: It cannot be opened, is not a regular file, is larger, or lies elsewhere; `strerror` is the cause.
    """
    real = Path(os.path.realpath(path, strict=True)) if inside is not None else path
    if inside is not None and not real.is_relative_to(inside):
        raise NotReadable(errno.EPERM, "is a link that leaves the input folder; copy the file in (cp -L)", path)
    # Without O_NONBLOCK opening a pipe waits for its writer; the resolved path may no longer be a link.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if inside is not None else 0)
    descriptor = os.open(real, flags)
    status = os.fstat(descriptor)
    refusal = _refusal(status, limit)
    if refusal:
        os.close(descriptor)
        raise NotReadable(*refusal, path)
    file = _Frugal(FileIO(descriptor, "rb"))
    file.most = min(limit, max(status.st_size, _LEAST)) + 1  # files in /proc claim to be empty
    return file


def _refusal(status: os.stat_result, limit: int) -> tuple[int, str] | None:
    """Why an open file may not be read: an error number and the cause; None where it may."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        return errno.EINVAL, f"is {kind}, not a regular file"
    return (errno.EFBIG, too_large(limit)) if status.st_size > limit else None


def read_bounded(path: Path, limit: int, inside: Path | None = None) -> bytes:
    """Reads a regular file of at most `limit` bytes, also where it grows meanwhile.

    Raises:
        OSError: See `open_regular`.
    """
    with open_regular(path, limit, inside) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotReadable(errno.EFBIG, too_large(limit), path)
    return content


def too_large(limit: int) -> str:
    """What is wrong with a file of more bytes than allowed, as a predicate."""
    return f"is larger than the allowed {limit / 2**20:g} MiB"


@contextmanager
def writing(target: Path | str, remedy: str = REMEDY) -> Iterator[None]:
    """Turns an OSError of the block into an error that a user can act on.

    Args:
        target: The file or folder that the block writes, as the message names it.
        remedy: What the user can do.

    Raises:
        EnvironmentProblem: The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(f"{target} cannot be written ({error.strerror or error})", remedy) from error


@contextmanager
def atomic_file(path: Path, remedy: str = REMEDY) -> Iterator[Path]:
    """Gives a draft to write, which takes the place of `path` when the block ends without an error.

    The draft lies beside the file, so that the replacement is atomic, and is on the disk before it replaces anything.
    Missing folders are made. A device or pipe, such as /dev/stdout, is written directly.

    Args:
        path: The file wanted; where it is a link, the file that it points to.
        remedy: What the user can do where it cannot be written.

    Yields:
        The path to write to.

    Raises:
        EnvironmentProblem: The file cannot be written; an existing one is as it was.
    """
    with writing(path, remedy):
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        final = real_path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        draft = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            yield draft
            _sync(draft)
            draft.replace(final)
            _sync(final.parent)  # the replacement itself
        finally:
            draft.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str, remedy: str = REMEDY) -> None:
    """Writes a UTF-8 text file whole or not at all; its folder is made where it is absent.

    Raises:
        EnvironmentProblem: The file cannot be written; an existing one is as it was.
    """
    with atomic_file(path, remedy) as draft:
        draft.write_text(text, "utf-8")


@contextmanager
def whole_folder(out: Path, mark: str, *sources: Path) -> Iterator[Path]:
    """Gives a folder to write, which takes the place of `out` when the block ends without an error.

    Args:
        out: The folder wanted. An existing one is replaced where it is empty or holds `mark`.
        mark: Name of a file that the block writes, by which a later run knows the folder as its own.
        sources: The folders that are read meanwhile.

    Yields:
        The folder to write to.

    Raises:
        EnvironmentProblem: `out` holds something else, overlaps one of `sources`, or cannot be written.
    """
    out = real_path(out)
    for source in map(real_path, sources):
        if out.is_relative_to(source) or source.is_relative_to(out):
            raise EnvironmentProblem(
                f"{out} and {source} lie within each other", "Name an --out beside the input folder."
            )
    if out.exists() and not (out / mark).is_file() and (out.is_file() or any(out.iterdir())):
        raise EnvironmentProblem(
            f"{out} exists and was not written by this command", "Name a new or an empty folder as --out."
        )
    with writing(out, "Name another --out, or free space on the disk."), draft_folder(out, replace=True) as draft:
        yield draft


@contextmanager
def draft_folder(out: Path, *, replace: bool) -> Iterator[Path]:
    """Gives an empty folder beside `out`, which takes its place when the block ends without an error.

    Args:
        out: The folder wanted.
        replace: Whether a folder that has files is removed for it; an empty one always is.

    Yields:
        The folder to write to; what an interrupted run left there is gone.

    Raises:
        OSError: The folder cannot be written, or there are files that may not be replaced.
    """
    draft = out.with_name(f".{out.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if out.exists():
            shutil.rmtree(out) if replace else out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def user_cache() -> Path:
    """This package's folder in the user's cache; it need not exist.

    Raises:
        RuntimeError: This user has no home.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "mevlip"


def free_bytes(out: Path) -> int:
    """Free bytes of the disk that a folder lies on, or would if it existed."""
    return shutil.disk_usage(next(path for path in (out.resolve(), *out.resolve().parents) if path.is_dir())).free


def real_path(path: Path) -> Path:
    """A path without links; what does not exist, or is a link to itself, is taken as it is named.

    `Path.resolve` breaks on a link to itself in some versions of Python.
    """
    return Path(os.path.realpath(path))


def link_or_copy(path: Path, target: Path) -> None:
    """Puts a file at a place: as a hard link where the file system allows it, else as a copy.

    Raises:
        FileExistsError: There is a file already; a copy could write through a link into the source.
        OSError: The file cannot be read or the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(path, target)


def file_sha256(path: Path, advance: Callable[[int], object] = lambda _: None) -> str:
    """Computes the sha256 of a file, read in pieces of 8 MiB.

    Args:
        path: The file.
        advance: Called with the number of bytes just hashed, for a progress bar.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 23):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
