"""Locks on folders: one run at a time writes there."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mevlip.core.errors import EnvironmentProblem

LOCK_NAME = ".mevlip-lock"

logger = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def locked(folder: Path, remedy: str) -> Iterator[None]:
    """Holds a folder for one run; the system lets go of it when the process ends, however it ends.

    Args:
        folder: The folder, which is there.
        remedy: What the user can do where another run holds it.

    Raises:
        EnvironmentProblem: Another run is writing there.
        OSError: The lock's file cannot be written.
    """
    path = folder / LOCK_NAME
    # Left behind by a run that was killed, it has to be opened by any user of the folder.
    lock = FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout as error:
        raise EnvironmentProblem(f"Another run is writing into {folder}", remedy) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s cannot be locked (%s): start no second run there", folder, error.strerror)
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody waits for a file that is gone
        lock.release()
