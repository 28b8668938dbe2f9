"""Connects to a container engine: Docker, or any engine that implements the Docker API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem, ExitCode, MevlipError, OutputError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

TIMEOUT_SECONDS = 3600
"""Timeout of one API call: exporting an image of 16 GB takes minutes."""


class NoEngine(MevlipError):
    """No container engine answers."""

    exit_code = ExitCode.NO_ENGINE


class InvalidImage(OutputError):
    """An image cannot be run by the organizers as it is."""


@contextlib.contextmanager
def connect() -> Iterator[DockerClient]:
    """Connects to the engine named by DOCKER_HOST, else to the default socket.

    Yields:
        The client, closed on exit.

    Raises:
        EnvironmentProblem: The Docker SDK is not installed.
        NoEngine: No engine answers.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ModuleNotFoundError as error:
        raise EnvironmentProblem("The Docker SDK is not installed", "Run: pip install 'me-vlip[image]'") from error
    try:
        client = docker.from_env(timeout=TIMEOUT_SECONDS)
        client.ping()
    except (DockerException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise NoEngine(
            f"No container engine answers ({reason})",
            "Start Docker, or set DOCKER_HOST to another engine's socket; check that you have permission to use it.",
        ) from error
    with contextlib.closing(client):
        yield client


@contextlib.contextmanager
def engine_failures() -> Iterator[None]:
    """Names an engine that fails or stops answering in the middle of something; what it refuses passes through.

    Raises:
        NoEngine: It does.
    """
    from docker.errors import APIError, NotFound
    from requests import RequestException

    try:
        yield
    except (APIError, RequestException) as error:
        if isinstance(error, NotFound) or (isinstance(error, APIError) and error.is_client_error()):
            raise
        raise NoEngine(
            f"The container engine failed or stopped answering ({str(error).splitlines()[0][:200]})",
            "See the engine's own log, and its free disk space; then run the command again.",
        ) from error


def load_archive(client: DockerClient, archive: Path) -> Image:
    """Loads an archive written by `docker save`, compressed or not.

    Returns:
        The image in the archive.

    Raises:
        InvalidImage: The engine cannot read the archive, or it does not contain exactly one image.
    """
    from docker.errors import APIError, ImageLoadError

    try:
        with archive.open("rb") as file:
            images = client.images.load(file)
    except (APIError, ImageLoadError) as error:
        raise InvalidImage(
            f"The engine cannot load {archive} ({str(error).splitlines()[0][:200]})", "Save the image again."
        ) from error
    if len(images) != 1:
        raise InvalidImage(f"{archive} contains {len(images)} images, expected 1", "Save a single image by its name.")
    return images[0]


def get_image(client: DockerClient, tag: str) -> Image:
    """Returns the image with this tag.

    Raises:
        InvalidImage: The engine has no such image.
    """
    from docker.errors import APIError, DockerException

    try:
        with engine_failures():
            return client.images.get(tag)
    except (DockerException, ValueError) as error:
        cause = error.explanation if isinstance(error, APIError) else str(error)
        raise InvalidImage(
            f"The engine has no image {tag!r} ({cause})", "Build it: mevlip image build --tag NAME."
        ) from error
