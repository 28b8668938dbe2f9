"""Comparing files with their checksums, in threads of their own, while their owner imports and loads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mevlip.checkpoints.records import REFETCH, WEIGHTS_SUFFIX, owner_of
from mevlip.core.errors import CheckpointError
from mevlip.core.files import file_sha256

_THREADS = 4
"""Hashing releases the interpreter lock, so a few threads read a large checkpoint at the disk's speed."""
_SETTLED_NS = 2_000_000_000
"""A file that was written less long ago may be written again without another time stamp."""


class Stamp(NamedTuple):
    """By which a file is known again that was not written since; times in nanoseconds."""

    size: int
    modified: int
    changed: int
    """When its content, owner, mode or name last changed; unlike `modified`, no user can set it."""
    inode: int
    device: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """A file's stamp, or that of the file that a link points to.

        Raises:
            OSError: It cannot be read.
        """
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)

    @property
    def settled(self) -> bool:
        """Whether the file was last written long enough ago for a later change to show."""
        return max(self.modified, self.changed) + _SETTLED_NS < time.time_ns()


@dataclass(frozen=True)
class Verified:
    """How one file was found to be as its manifest says.

    Attributes:
        size: Its bytes.
        hashed: Whether it was read and hashed; else it is unchanged since it was.
        stamp: By which it is known again; None where it was written too recently.
    """

    size: int
    hashed: bool
    stamp: Stamp | None


class Verification:
    """The comparison of a folder's files with their sha256, which begins when it is made.

    Its threads are daemons, so that a program that ends does not wait for them, as it would for an executor's.

    Args:
        folder: The folder.
        checksums: sha256 of each file, by its name below the folder.
        known: Stamps of files that were verified before against the same checksums.
    """

    def __init__(self, folder: Path, checksums: Mapping[str, str], known: Mapping[str, Stamp]) -> None:
        self._folder = folder
        self._known = known
        self._lock = threading.Lock()
        self._bytes = 0
        self._advance: Callable[[int], object] = lambda _: None
        self._stopped = threading.Event()
        # Small files first: what is not weights is waited for before anything is loaded.
        names = sorted(checksums, key=lambda name: (name.endswith(WEIGHTS_SUFFIX), name))
        self._files: dict[str, Future[Verified]] = {name: Future() for name in names}
        self._left = iter([(name, checksums[name]) for name in names])
        for _ in range(_THREADS):
            threading.Thread(target=self._work, name="verify", daemon=True).start()

    @property
    def failed(self) -> bool:
        """Whether a file is known to be damaged by now."""
        return any(one.done() and one.exception() for one in self._files.values())

    def wait(
        self, advance: Callable[[int], object] = lambda _: None, only: Collection[str] | None = None
    ) -> dict[str, Verified]:
        """Waits until files are verified.

        Args:
            advance: Called with the number of bytes hashed since the last call, for a progress bar.
            only: The files to wait for; None for all.

        Returns:
            How each was verified.

        Raises:
            CheckpointError: Names the first file that is altered or cannot be read: those that are no weights come
                first, then by name, whichever a thread came upon first. Nothing more is hashed.
        """
        try:
            with self._lock:
                advance(self._bytes)
                self._advance = advance
            return {name: one.result() for name, one in self._files.items() if only is None or name in only}
        except BaseException:  # of Ctrl-C, too
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the threads without a result."""
        self._stopped.set()

    def _work(self) -> None:
        while True:
            with self._lock:
                name, sha256 = next(self._left, ("", ""))
            if not name:
                return
            try:
                self._files[name].set_result(self._verify(name, sha256))
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                self._files[name].set_exception(error)

    def _verify(self, name: str, sha256: str) -> Verified:
        path = self._folder / name
        self._count(0)
        with _reading(name):
            before = Stamp.of(path)
            if self._known.get(name) == before:
                return Verified(before.size, hashed=False, stamp=before)
            settled = before.settled  # at the beginning: what is written from now on has another time
            found = file_sha256(path, self._count)
            after = Stamp.of(path)
        if found != sha256:
            raise CheckpointError(f"{owner_of(name)}{name} fails its checksum", REFETCH)
        return Verified(after.size, hashed=True, stamp=after if settled and after == before else None)

    def _count(self, size: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._bytes += size
            self._advance(size)


class _Stopped(Exception):
    """Ends a thread whose result nobody wants."""


def check_sizes(folder: Path, sizes: Mapping[str, int]) -> None:
    """Compares the sizes of files.

    Args:
        folder: Their folder.
        sizes: Bytes of each, by its name below the folder.

    Raises:
        CheckpointError: Names the first that has another size or cannot be read.
    """
    for name, wanted in sorted(sizes.items()):
        with _reading(name):
            size = (folder / name).stat().st_size
        if size != wanted:
            raise CheckpointError(f"{owner_of(name)}{name} has {size} bytes instead of {wanted}", REFETCH)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Names a file of the checkpoint that cannot be read."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{owner_of(name)}{name} cannot be read ({error.strerror})", REFETCH) from error
