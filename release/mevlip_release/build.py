"""Builds the image around one verified checkpoint, from a build context with only the required files."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from mevlip import __version__
from mevlip.checkpoints.checkpoint import MANIFEST_NAME, Checkpoint, open_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.progress import Progress
from mevlip.core.text import visible
from mevlip_release.docker_client import InvalidImage, engine_failures, get_image

if TYPE_CHECKING:
    from docker import DockerClient

ROOT = Path(__file__).resolve().parents[2]
LOCK = "constraints/predict.txt"
CUDA = {"cuda13": ("cuda>=13.0", "580"), "cuda12": ("cuda>=12.0", "525")}
"""Which torch the image gets, by the name of its constraints: what NVIDIA's container toolkit is to require, and the
oldest driver. CUDA 12's minor versions run on the driver of its first."""
DEFAULT_CUDA = "cuda13"
PARTS = (
    "Dockerfile",
    "pyproject.toml",
    LOCK,
    *(f"constraints/{name}.txt" for name in CUDA),
    "predict.sh",
    "submission",
)
"""The project files in the build context, besides the checkpoint."""

_EPOCH = 315_532_800  # 1980-01-01, the first date zip can store: the same files give the same layers
_LAST_LINES = 20
_STEP = re.compile(r"Step \d+/\d+ : .*")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltImage:
    """A built image.

    Attributes:
        tag: Its tag.
        id: Its id, a hash of configuration and layers.
        size: Uncompressed size of its layers in bytes.
        seconds: Duration of the build.
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
    cuda: str = DEFAULT_CUDA,
    build_args: Mapping[str, str] | None = None,
    network: str | None = None,
    quiet: bool = False,
    cache: bool = True,
) -> BuiltImage:
    """Builds the image.

    Args:
        client: The engine's client.
        tag: Tag of the image, in lower case.
        checkpoint: The checkpoint folder; its files are verified before anything is sent to the engine.
        base: The base image; the Dockerfile's default if None.
        cuda: Which torch: one of `CUDA`.
        build_args: Further build arguments, such as PIP_INDEX_URL.
        network: Network mode of the build steps; the engine's default if None.
        quiet: Whether to hide the progress bar.
        cache: Whether the engine may reuse cached build steps.

    Returns:
        Tag, id and size of the image, and the duration of the build.

    Raises:
        EnvironmentProblem: A project file is missing or cannot be read.
        CheckpointError: The checkpoint is incomplete or altered.
        InvalidImage: A build step failed; its last lines are logged.
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
        "LOCK": lock_sha256(cuda),
        "CUDA": cuda,
        "REQUIRE_CUDA": CUDA[cuda][0],
        "DRIVER": CUDA[cuda][1],
        **(build_args or {}),
    }
    files = dict(_context(opened))
    with (
        Progress("sending", _size(files), "B", quiet) as progress,
        _Stream(files, progress) as stream,
        _refusals(tag),
    ):
        answers = client.api.build(
            fileobj=stream, custom_context=True, tag=tag, rm=True, forcerm=True, buildargs=arguments,
            network_mode=network, nocache=not cache, decode=True,
        )  # fmt: skip
        _log_build(answers)
    image = get_image(client, tag)
    return BuiltImage(tag, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)


@contextmanager
def _refusals(tag: str) -> Iterator[None]:
    """Names a build that the engine does not even begin, such as one with an invalid tag."""
    from docker.errors import APIError

    try:
        with engine_failures():
            yield
    except APIError as error:
        raise InvalidImage(
            f"The engine refuses to build {tag!r} ({error.explanation})",
            "Name it like team:latest, in lower case, and check --build-arg and --network.",
        ) from error


def require_checkout() -> None:
    """Raises EnvironmentProblem if the files an image is built from are missing, as in an installed wheel."""
    for part in PARTS:
        if not (ROOT / part).exists():
            raise EnvironmentProblem(
                f"{ROOT / part} is missing: building an image requires a checkout of the project",
                "Clone the repository and run the command there.",
            )


def default_base() -> str:
    """Returns the base image that the Dockerfile names."""
    named = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert named is not None, "the Dockerfile starts with it"  # noqa: S101 - our own file
    return named[1]


def lock_sha256(cuda: str) -> str:
    """SHA-256 of the versions that an image is built with: the common ones, and those of its torch."""
    return hashlib.sha256((ROOT / LOCK).read_bytes() + (ROOT / f"constraints/{cuda}.txt").read_bytes()).hexdigest()


def revision() -> str:
    """Returns the project's commit, with `-dirty` for uncommitted changes; `unknown` outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _digest(client: DockerClient, base: str) -> str:
    """Returns the registry digest of the base image; empty if it is not pulled yet or not from a registry."""
    from docker.errors import APIError

    try:
        digests = client.images.get(base).attrs.get("RepoDigests") or []
    except APIError:
        return ""
    return str(digests[0]).rpartition("@")[2] if digests else ""


def _context(checkpoint: Checkpoint) -> Iterator[tuple[str, Path]]:
    """Yields every file of the build context with its name there, in a fixed order."""
    for part in PARTS:
        path = ROOT / part
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(ROOT).as_posix(), file
    folder = PurePosixPath("checkpoints", checkpoint.folder.name)
    yield str(folder / MANIFEST_NAME), checkpoint.folder / MANIFEST_NAME
    # Only files listed in the manifest; others in the folder are left out.
    for name in sorted(checkpoint.manifest.files):
        yield str(folder / name), checkpoint.folder / name


def _size(files: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in files.values())


class _Stream:
    """A tar of the build context, written by a thread while the engine reads it, so it is never stored on disk."""

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
        self._reader.close()  # also ends the writer if the engine stopped reading
        self._thread.join()
        if self._error is not None:
            raise EnvironmentProblem(
                f"{self._error.filename} cannot be read ({self._error.strerror})",
                "Make it readable and build again.",
            )

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            with pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
                for name, path in self._files.items():
                    with path.open("rb") as file:
                        tar.addfile(_entry(name, path), _Counted(file, self._progress))
        except BrokenPipeError:
            logger.debug("the engine stopped reading the build context")
        except OSError as error:
            self._error = error


def _entry(name: str, path: Path) -> tarfile.TarInfo:
    """Returns a tar header without owner and timestamps, so that the same files give the same layers."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = path.stat().st_size, _EPOCH
    entry.mode = 0o755 if name.endswith(".sh") else 0o644
    return entry


class _Counted:
    """A file that reports to a progress bar how much of it was read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress

    def read(self, size: int = -1) -> bytes:
        """Reads up to `size` bytes and advances the progress bar."""
        data = self._file.read(size)
        self._progress.advance(len(data))
        return data


def _shorten_error(error: str) -> str:
    """Shortens the command that the engine quotes: its beginning and the status identify the step."""
    command, separator, status = error.strip().rpartition("' returned")
    return f"{visible(command, 80)}{separator}{status}"


def _log_build(answers: Iterator[dict[str, str]]) -> None:
    """Logs the build steps; if one fails, logs its last lines and raises InvalidImage."""
    lines: list[str] = []
    for answer in answers:
        line = (answer.get("stream") or answer.get("status") or "").rstrip()
        if line:
            lines.append(line)
            logger.log(logging.INFO if _STEP.match(line) else logging.DEBUG, "%s", line)
        if "error" in answer:
            for last in lines[-_LAST_LINES:]:
                logger.error("%s", last)
            raise InvalidImage(
                f"The build failed: {_shorten_error(answer['error'])}",
                "See the last lines of the build above; fix the cause and build again.",
            )
