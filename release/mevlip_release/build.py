"""Building the image around one verified checkpoint, from a context that holds nothing else."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from mevlip import __version__
from mevlip.checkpoints.checkpoint import MANIFEST_NAME, Checkpoint, open_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import file_sha256
from mevlip.core.progress import Progress
from mevlip.core.tables import shorten
from mevlip_release.engine import ImageFault, get_image

if TYPE_CHECKING:
    from docker import DockerClient

ROOT = Path(__file__).resolve().parents[2]
LOCK = "constraints/predict.txt"
PARTS = ("Dockerfile", "pyproject.toml", LOCK, "predict.sh", "submission")
"""All of the project that a build sees, besides the checkpoint."""

_EPOCH = 315_532_800  # 1980-01-01: the same files make the same layers, and zip knows no earlier day
_LAST_LINES = 20
_STEP = re.compile(r"Step \d+/\d+ : .*")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """A built image.

    Attributes:
        tag: Its tag.
        id: Its id, which pins configuration and layers.
        size: Bytes of its layers, unpacked.
        seconds: How long the build took.
    """

    tag: str
    id: str
    size: int
    seconds: float


def build_image(
    client: DockerClient,
    tag: str,
    checkpoint: Path,
    base: str | None = None,
    build_args: Mapping[str, str] | None = None,
    network: str | None = None,
    quiet: bool = False,
    cache: bool = True,
) -> Built:
    """Builds the image.

    Args:
        client: The engine.
        tag: Its tag; lower case.
        checkpoint: A checkpoint folder; its files are verified before anything is sent.
        base: The base image; the Dockerfile's own where None.
        build_args: What the Dockerfile takes besides, such as PIP_INDEX_URL.
        network: The network of the build's steps; the engine's default where None.
        quiet: Whether to show no progress.
        cache: Whether steps that were built before may be taken as they are.

    Raises:
        EnvironmentProblem: The project's own files are not there.
        CheckpointError: The checkpoint is incomplete or altered.
        ImageFault: A step of the build failed; its last lines are told.
    """
    started = time.monotonic()
    require_checkout()
    opened = open_checkpoint(checkpoint)
    base = base or default_base()
    arguments = {
        "BASE_IMAGE": base,
        "BASE_DIGEST": _digest(client, base),
        "CHECKPOINT": opened.folder.name,
        "VERSION": __version__,
        "REVISION": revision(),
        "LOCK": file_sha256(ROOT / LOCK),
        **(build_args or {}),
    }
    files = dict(_context(opened))
    with Progress("sending", _size(files), "B", quiet) as progress, _Stream(files, progress) as stream:
        answers = client.api.build(
            fileobj=stream, custom_context=True, tag=tag, rm=True, forcerm=True, buildargs=arguments,
            network_mode=network, nocache=not cache, decode=True,
        )  # fmt: skip
        _follow(answers)
    image = get_image(client, tag)
    return Built(tag, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)


def require_checkout() -> None:
    """Raises EnvironmentProblem where what an image is built from is not there, as in an installed wheel."""
    for part in PARTS:
        if not (ROOT / part).exists():
            raise EnvironmentProblem(
                f"{ROOT / part} is missing: an image is built from a checkout of the project",
                "Clone the repository and run the command there.",
            )


def default_base() -> str:
    """The base image that the Dockerfile names."""
    named = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert named is not None, "the Dockerfile starts with it"  # noqa: S101 - our own file
    return named[1]


def revision() -> str:
    """The project's commit, with `-dirty` where files were changed since; `unknown` outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _digest(client: DockerClient, base: str) -> str:
    """The base's digest, by which a registry knows it; empty where it came from none, or is yet to be pulled."""
    from docker.errors import APIError

    try:
        digests = client.images.get(base).attrs.get("RepoDigests") or []
    except APIError:
        return ""
    return str(digests[0]).rpartition("@")[2] if digests else ""


def _context(checkpoint: Checkpoint) -> Iterator[tuple[str, Path]]:
    """Every file of the build with its name in the context, in steady order."""
    for part in PARTS:
        path = ROOT / part
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(ROOT).as_posix(), file
    folder = PurePosixPath("checkpoints", checkpoint.folder.name)
    yield str(folder / MANIFEST_NAME), checkpoint.folder / MANIFEST_NAME
    # The manifest's own list: what else lies in the folder stays out.
    for name in sorted(checkpoint.manifest.files):
        yield str(folder / name), checkpoint.folder / name


def _size(files: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in files.values())


class _Stream:
    """A tar of the context, written by a thread while the engine reads it: it is never on the disk as a whole."""

    def __init__(self, files: Mapping[str, Path], progress: Progress) -> None:
        self._files, self._progress = files, progress
        self._error: OSError | None = None

    def __enter__(self) -> IO[bytes]:
        reading, writing = os.pipe()
        self._reader = os.fdopen(reading, "rb")
        self._thread = threading.Thread(target=self._write, args=(os.fdopen(writing, "wb"),), daemon=True)
        self._thread.start()
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()  # ends the writer too, where the engine stopped reading
        self._thread.join()
        if self._error is not None:
            raise EnvironmentProblem(
                f"{self._error.filename} cannot be read ({self._error.strerror})", "Make it readable and build again."
            )

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            with pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
                for name, path in self._files.items():
                    with path.open("rb") as file:
                        tar.addfile(_entry(name, path), _Counted(file, self._progress))
        except BrokenPipeError:
            logger.debug("the engine stopped reading the build's context")
        except OSError as error:
            self._error = error


def _entry(name: str, path: Path) -> tarfile.TarInfo:
    """A tar header without owner and times, so that equal files make equal layers."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = path.stat().st_size, _EPOCH
    entry.mode = 0o755 if name.endswith(".sh") else 0o644
    return entry


class _Counted:
    """Tells how much of a file was read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress

    def read(self, size: int = -1) -> bytes:
        """Reads and counts."""
        data = self._file.read(size)
        self._progress.advance(len(data))
        return data


def _shortened(error: str) -> str:
    """The engine quotes the whole command of a step; its beginning and the status tell which."""
    command, found, status = error.strip().rpartition("' returned")
    return f"{shorten(command, 80)}{found}{status}"


def _follow(answers: Iterator[dict[str, str]]) -> None:
    """Logs the build's steps; raises ImageFault with its last lines where one fails."""
    lines: list[str] = []
    for answer in answers:
        said = (answer.get("stream") or answer.get("status") or "").rstrip()
        if said:
            lines.append(said)
            logger.log(logging.INFO if _STEP.match(said) else logging.DEBUG, "%s", said)
        if "error" in answer:
            for line in lines[-_LAST_LINES:]:
                logger.error("%s", line)
            raise ImageFault(
                f"The build failed: {_shortened(answer['error'])}",
                "The lines above are the build's last; mend what they name and build again.",
            )
