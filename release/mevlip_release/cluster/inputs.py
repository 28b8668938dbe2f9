"""Copying an input folder from an address that fsspec can open, such as s3://bucket/inputs."""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
import shutil
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mevlip.core.errors import EnvironmentProblem, InputError, MevlipError, describe
from mevlip.core.files import atomic_file, write_text_atomically
from mevlip.core.progress import Progress
from mevlip.core.text import visible
from mevlip_release.cluster.packages import required

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_STATES = ".mevlip-copied.json"
_LONGEST_NAME = 255  # bytes, of the usual file systems
_PIECE = 1 << 20


def is_address(name: str) -> bool:
    """Whether an input is named by an address, such as file:///data/inputs, and not by a folder's path."""
    return "://" in name


def copy_input(address: str, target: Path, quiet: bool = True) -> Path:
    """Copies all files below an address into a folder; what was copied before and has not changed is left alone.

    Args:
        address: Any that fsspec can open.
        target: The folder; nothing is written outside it, whatever the files are called.
        quiet: Whether to show no progress.

    Returns:
        The folder.

    Raises:
        InputError: The address holds no file.
        EnvironmentProblem: The address cannot be read, or the folder cannot be written or has no room.
    """
    with _reading(address):
        with required("fsspec"):
            from fsspec.core import url_to_fs

            system, start = url_to_fs(address)
        files = _choose(system.find(start, detail=True), start)
    if not files:
        raise InputError(
            f"No file was found below {address}", "Name the address of the folder that holds the questions."
        )
    known = _read_states(target)
    states = {place: _state(info) for place, (_, info) in files.items()}
    for place in known.keys() - states.keys():
        (target / place).unlink(missing_ok=True)
    wanted = [place for place in files if known.get(place) != states[place] or not (target / place).is_file()]
    size = sum(int(files[place][1].get("size") or 0) for place in wanted)
    target.mkdir(parents=True, exist_ok=True)
    if size > (free := shutil.disk_usage(target).free):
        raise EnvironmentProblem(
            f"{address} has {size / 1e9:.1f} GB, but {target} has room for {free / 1e9:.1f} GB",
            "Free space on the disk, or name an output folder on another one.",
        )
    logger.info("copying %d of %d files, %.1f MB, from %s", len(wanted), len(files), size / 1e6, address)
    with Progress("copying", max(len(wanted), 1), "files", quiet) as progress:
        for place in wanted:
            with (
                _reading(f"{address}: {place}"),
                atomic_file(target / place) as draft,
                system.open(files[place][0], "rb") as source,
                draft.open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy, _PIECE)
            progress.advance()
    write_text_atomically(target / _STATES, json.dumps(states))
    return target


def _choose(listing: Mapping[str, Mapping[str, Any]], start: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The files to copy, by their places below the folder; a name that could leave it is refused."""
    chosen = {}
    for name, info in sorted(listing.items()):
        place = name.removeprefix(start.rstrip("/")).removeprefix("/") or posixpath.basename(name)
        parts = PurePosixPath(place).parts
        if any(part.startswith(".") and part != ".." for part in parts):
            continue
        plain = place == "/".join(parts) and ".." not in parts and "\0" not in place
        if not plain or any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_NAME for part in parts):
            logger.warning("%s is left out: not a name for a file", visible(place, 200))
            continue
        chosen[place] = (name, info)
    return chosen


def _state(info: Mapping[str, Any]) -> str:
    """A text that changes when a file does: its size, time and tag, whichever its file system knows."""
    return hashlib.sha256(repr(sorted((key, str(value)) for key, value in info.items())).encode()).hexdigest()


def _read_states(target: Path) -> dict[str, str]:
    try:
        states: dict[str, str] = json.loads((target / _STATES).read_bytes())
    except (OSError, ValueError):
        return {}  # the first copy, or one that was interrupted
    return states


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns whatever a file system raises into an error that a user can act on."""
    try:
        yield
    except MevlipError:
        raise
    except ImportError as error:
        raise EnvironmentProblem(f"{what} cannot be opened ({error})", "Install that package.") from error
    except Exception as error:  # every file system has errors of its own
        raise EnvironmentProblem(
            f"{what} cannot be read ({describe(error)})", "Check the address and the right to read it."
        ) from error
