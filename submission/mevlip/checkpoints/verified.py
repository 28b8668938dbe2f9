"""The record of files that were verified before, for `--verify quick`.

It lies in the user's cache folder, one file for each checkpoint folder and manifest, and holds the stamps of the files
that were hashed and found right: size, times of the last writing and of the last change, inode and device. Whoever uses
it trusts that

- nobody but this user can write the record: it and its folder must be this user's and closed to all others, and
- a file whose stamp is the same has the same content. No program of a user without root's rights can write a file and
  leave its time of change as it was; the system's administrator, a changed clock, whoever writes to the disk below its
  file system, and a disk that loses bits can.

Without a record that can be trusted, or without a place to write one, everything is hashed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mevlip.checkpoints.records import MANIFEST_LIMIT, Digest, FrozenModel
from mevlip.checkpoints.verification import Stamp
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import atomic_file, open_regular, user_cache

logger = logging.getLogger(__name__)


class _Record(FrozenModel):
    """Content of a record."""

    version: Literal[1] = 1
    manifest: Digest
    folder: str
    files: dict[str, Stamp]


def read_verified(folder: Path, digest: str) -> dict[str, Stamp]:
    """Stamps of a checkpoint's files that were verified before.

    Args:
        folder: The checkpoint folder, resolved.
        digest: sha256 of its manifest.

    Returns:
        The stamps by file name; empty if no record exists or the one found cannot be trusted.
    """
    try:
        path = _path(folder, digest)
        _check_owner(os.lstat(path.parent))
        with open_regular(path, MANIFEST_LIMIT) as file:
            _check_owner(os.fstat(file.fileno()))
            record = _Record.model_validate_json(file.read(MANIFEST_LIMIT))
        if (record.manifest, record.folder) != (digest, str(folder)):
            raise ValueError("it belongs to another checkpoint")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RuntimeError) as error:
        logger.warning("the record of verified files is not used (%s); all files are hashed", _cause(error))
        return {}
    return record.files


def write_verified(folder: Path, digest: str, files: Mapping[str, Stamp]) -> None:
    """Records files that were verified; where it cannot be written, the next run hashes them again.

    Args:
        folder: The checkpoint folder, resolved.
        digest: sha256 of its manifest.
        files: The stamps of its files, as they were hashed.
    """
    record = _Record(manifest=digest, folder=str(folder), files=dict(files))
    try:
        path = _path(folder, digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(os.lstat(path.parent))
        with atomic_file(path) as draft, open(draft, "x", encoding="utf-8", opener=_private) as file:
            file.write(record.model_dump_json())
    except (OSError, ValueError, RuntimeError, EnvironmentProblem) as error:
        logger.info("the record of verified files cannot be written (%s); the next run hashes them again", error)


def _path(folder: Path, digest: str) -> Path:
    """Where the record of a checkpoint lies.

    Raises:
        RuntimeError: This user has no home.
    """
    key = hashlib.sha256(f"{digest}\0{folder}".encode("utf-8", "surrogateescape")).hexdigest()
    return user_cache() / f"verified-{key[:32]}.json"


def _check_owner(found: os.stat_result) -> None:
    """Raises ValueError for a link, and for a file or folder that is not this user's alone."""
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ValueError("it is not this user's alone")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _cause(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error).splitlines()[0]
