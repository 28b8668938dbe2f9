"""Inspects an exported image: its layers, their sizes, and files that are unexpected in a release."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.core.text import visible
from mevlip_release.docker_client import engine_failures, get_image
from mevlip_release.image_archive import Chunks, ReadImage, read_image, read_stream
from mevlip_release.image_files import ImageFiles, LayerFiles, overlay

if TYPE_CHECKING:
    from docker import DockerClient

_BIN = r"(?:^|/)s?bin/"
UNEXPECTED = {
    "notebook": re.compile(r"\.ipynb$"),
    "tests": re.compile(r"^app/(?:.*/)?tests?/|^opt/.*site-packages/(?!torch/)(?:.*/)?tests?/"),
    "version control": re.compile(r"(?:^|/)\.(?:git|svn|hg)(?:/|$)"),
    "cache": re.compile(
        r"(?:^|/)(?:\.cache|\.mypy_cache|\.pytest_cache|\.ruff_cache)/.|^tmp/.|^app/.*__pycache__|^(?:app|opt)/.*\.whl$"
    ),
    "compiler": re.compile(
        rf"{_BIN}(?:gcc|g\+\+|cc|c\+\+|clang|nvcc|rustc|cargo|make|cmake)(?:-[\d.]+)?$|/cc1(?:plus)?$"
    ),
    "credentials": re.compile(
        r"(?:^|/)(?:\.netrc|\.pypirc|\.npmrc|pip\.conf|\.env|id_(?:rsa|ed25519)|stored_tokens)$|/huggingface/token$"
    ),
    "build context": re.compile(r"^app/(?!checkpoints/|submission/|predict\.sh$).+"),
    "code in weights": re.compile(r"^app/checkpoints/.*\.(?:py|bin|pt|pth|pkl|ckpt|h5)$"),
}
"""Patterns of file names that must not be in any layer, by kind.

Exceptions: torch imports its own `test` folders, and the base image may contain tests of its own.
"""

SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{40,}"
    rb"|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----"
)
_NOT_SCANNED = ("opt/venv/", "usr/")
"""Not scanned: packages are pinned by the lock, and contain public test tokens and images that look like tokens."""


@dataclass(frozen=True)
class Layer:
    """One layer of an image.

    Attributes:
        digest: sha256 of the uncompressed layer, as listed in the image's configuration.
        step: The build step that created it; empty for layers of an imported base image.
        size: Total size of its files in bytes.
        files: Names of its files.
    """

    digest: str
    step: str
    size: int
    files: tuple[str, ...]

    @property
    def short_step(self) -> str:
        """The build step on one line, without the builder's prefix."""
        return visible(" ".join(re.sub(r"^/bin/sh -c (?:#\(nop\) )?", "", self.step).split()), 90) or "(base)"


@dataclass(frozen=True)
class Unexpected:
    """Something that must not be in an image.

    Attributes:
        kind: Its kind: a key of `UNEXPECTED`, or which kind of secret.
        where: The file, or the part of the image configuration.
    """

    kind: str
    where: str


@dataclass(frozen=True)
class Inspection:
    """The contents of an exported image.

    Attributes:
        id: sha256 of the configuration, which Docker's classic store calls the image's id.
        config: The image configuration, as stored by the engine.
        layers: The layers, starting with the base image's.
        unexpected: What must not be in the image.
        files: The file system that a container sees.
        tags: The names under which an engine loads the archive.
    """

    id: str
    config: dict[str, Any]
    layers: tuple[Layer, ...]
    unexpected: tuple[Unexpected, ...]
    files: ImageFiles = field(default_factory=ImageFiles)
    tags: tuple[str, ...] = ()

    @property
    def created(self) -> datetime:
        """When the image was built, in UTC, to the second; the epoch where its configuration does not say it."""
        try:
            return datetime.fromisoformat(str(self.config.get("created"))[:19]).replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict((self.config.get("config") or {}).get("Labels") or {})

    @property
    def unexpected_summary(self) -> str:
        """Number of unexpected files and the first of them, for a message; needs at least one."""
        first, count = self.unexpected[0], len(self.unexpected)
        return f"{count} unexpected {'file' if count == 1 else 'files'}, e.g. {first.kind} {first.where}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Table rows, one per layer: size in MB, number of files and build step."""
        return [(f"{layer.size / 1e6:.1f}", str(len(layer.files)), layer.short_step) for layer in self.layers]

    def plain(self) -> dict[str, Any]:
        """Returns labels, layers and unexpected files as plain values for JSON."""
        return {
            "labels": self.labels,
            "layers": list(map(asdict, self.layers)),
            "unexpected": list(map(asdict, self.unexpected)),
        }


@dataclass
class _Contents:
    """What is in one layer."""

    files: list[str] = field(default_factory=list)
    size: int = 0
    unexpected: list[Unexpected] = field(default_factory=list)
    tree: LayerFiles = field(default_factory=LayerFiles)

    @classmethod
    def of(cls, layer: tarfile.TarFile) -> _Contents:
        """Goes through a layer once."""
        made = cls()
        for entry in layer:
            made.files.append(entry.name)
            made.size += entry.size
            made._look(entry, made.tree.add(entry, layer))
        return made

    def _look(self, entry: tarfile.TarInfo, content: bytes) -> None:
        name = entry.name.removeprefix("./")
        if entry.isdir():
            return
        kinds = [kind for kind, pattern in UNEXPECTED.items() if pattern.search(name)]
        if not name.startswith(_NOT_SCANNED) and SECRETS.search(content):
            kinds.append("secret in a file")
        self.unexpected += [Unexpected(kind, entry.name) for kind in kinds]


def inspect_archive(archive: Path, quiet: bool = True) -> Inspection:
    """Inspects an archive written by `docker save`, and proves that it is whole; no engine is needed.

    Args:
        archive: The archive, plain or compressed with gzip; if it contains several images, the first one is inspected.
        quiet: Whether to hide the progress bar.

    Returns:
        Configuration, layers, unexpected files and the file system.

    Raises:
        InvalidImage: The archive is damaged or incomplete.
    """
    return _inspection(read_image(archive, _Contents.of, quiet))


def inspect_image(client: DockerClient, tag: str) -> Inspection:
    """Inspects an image of an engine as it would be saved; nothing is written to a disk here.

    Raises:
        InvalidImage: The engine has no such image, or sends it damaged.
        NoEngine: The engine stopped answering.
    """
    image = get_image(client, tag)
    with engine_failures():
        return _inspection(read_stream(Chunks(image.save(named=tag)), tag, _Contents.of))


def _inspection(image: ReadImage[_Contents]) -> Inspection:
    steps = [step for step in image.config.get("history") or [] if not step.get("empty_layer")]
    steps = ([{}] * len(image.layers) + steps)[len(steps) :]  # an imported base image has no history
    layers: list[Layer] = []
    unexpected = list(_find_config_secrets(image.config))
    for layer, step in zip(image.layers, steps, strict=True):
        seen = layer.seen
        layers.append(Layer(layer.digest, str(step.get("created_by", "")), seen.size, tuple(seen.files)))
        unexpected += seen.unexpected
    files = overlay(layer.seen.tree for layer in image.layers)
    return Inspection(image.id, image.config, tuple(layers), tuple(unexpected), files, image.tags)


def _find_config_secrets(config: dict[str, Any]) -> Iterator[Unexpected]:
    """Finds secrets in environment, labels or history, which anyone with the image can read."""
    for part in ("config", "history"):
        if SECRETS.search(json.dumps(config.get(part)).encode()):
            yield Unexpected("secret in the configuration", part)
