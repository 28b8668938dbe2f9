"""Reaching a container engine through its API: Docker, or anything that speaks the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem, ExitCode, MevlipError, OutputError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

SLOW = 3600
"""Seconds within which an engine has to say something: packing sixteen gigabytes takes its time."""


class NoEngine(MevlipError):
    """No container engine answers."""

    exit_code = ExitCode.NO_ENGINE


class ImageFault(OutputError):
    """An image is not what an organizer can run."""


@contextlib.contextmanager
def connect() -> Iterator[DockerClient]:
    """Gives a client of the engine that DOCKER_HOST names, else of the usual socket.

    Raises:
        EnvironmentProblem: The SDK is not installed.
        NoEngine: Nothing answers.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ModuleNotFoundError as error:
        raise EnvironmentProblem("The Docker SDK is not installed", "Run: pip install 'me-vlip[image]'") from error
    try:
        client = docker.from_env(timeout=SLOW)
        client.ping()
    except (DockerException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise NoEngine(
            f"No container engine answers ({reason})",
            "Start Docker, or name another engine's socket in DOCKER_HOST, and see that you may use it.",
        ) from error
    with contextlib.closing(client):
        yield client


def load_archive(client: DockerClient, archive: Path) -> Image:
    """Loads what `docker save` wrote, compressed or not; the image in it.

    Raises:
        ImageFault: The engine cannot read it, or it holds several images or none.
    """
    from docker.errors import APIError, ImageLoadError

    try:
        with archive.open("rb") as file:
            images = client.images.load(file)
    except (APIError, ImageLoadError) as error:
        raise ImageFault(
            f"The engine cannot load {archive} ({str(error).splitlines()[0][:200]})", "Save the image again."
        ) from error
    if len(images) != 1:
        raise ImageFault(f"{archive} holds {len(images)} images", "Save one image by its name.")
    return images[0]


def get_image(client: DockerClient, tag: str) -> Image:
    """The image of a tag.

    Raises:
        ImageFault: The engine has none.
    """
    from docker.errors import APIError

    try:
        return client.images.get(tag)
    except APIError as error:
        raise ImageFault(
            f"The engine has no image {tag} ({error.explanation})", "Build it: mevlip image build --tag NAME."
        ) from error
