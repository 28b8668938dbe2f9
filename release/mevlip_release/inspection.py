"""Inspects an exported image: its layers, their sizes, and files that are unexpected in a release."""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mevlip.core.text import visible

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
_CONTRACT = re.compile(r"^(?:\./)?app/checkpoints/[^/]+/(manifest\.json|adapters/[^/]+/route\.json)$")
_MAX_SCANNED_BYTES = 1_000_000
"""Bytes. Tokens are found in settings and scripts; larger files are libraries and weights."""
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
        config: The image configuration, as stored by the engine.
        layers: The layers, starting with the base image's.
        unexpected: What must not be in the image.
        contracts: The checkpoint's manifest and routes, by path relative to the checkpoint folder.
    """

    config: dict[str, Any]
    layers: tuple[Layer, ...]
    unexpected: tuple[Unexpected, ...]
    contracts: Mapping[str, bytes] = field(default_factory=dict)

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


def inspect_archive(archive: Path) -> Inspection:
    """Inspects an uncompressed archive written by `docker save`.

    Args:
        archive: The archive; if it contains several images, the first one is inspected.

    Returns:
        Configuration, layers, unexpected files and the checkpoint's manifest and routes.
    """
    with tarfile.open(archive) as tar:
        described = json.load(_member(tar, "manifest.json"))[0]
        config = json.load(_member(tar, described["Config"]))
        steps = [step for step in config.get("history", []) if not step.get("empty_layer")]
        digests = config["rootfs"]["diff_ids"]
        steps = [{}] * (len(digests) - len(steps)) + steps  # an imported base image has no history
        layers, unexpected = [], list(_find_config_secrets(config))
        contracts: dict[str, bytes] = {}
        for name, digest, step in zip(described["Layers"], digests, steps, strict=True):
            files, size = [], 0
            with tarfile.open(fileobj=_member(tar, name)) as layer:
                for entry in layer:
                    files.append(entry.name)
                    size += entry.size
                    unexpected += [Unexpected(kind, entry.name) for kind in _unexpected_kinds(layer, entry)]
                    if (match := _CONTRACT.search(entry.name)) and (file := layer.extractfile(entry)):
                        contracts[match[1]] = file.read()
            layers.append(Layer(digest, str(step.get("created_by", "")), size, tuple(files)))
    return Inspection(config, tuple(layers), tuple(unexpected), contracts)


def _unexpected_kinds(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[str]:
    name = entry.name.removeprefix("./")
    if entry.isdir():
        return
    yield from (kind for kind, pattern in UNEXPECTED.items() if pattern.search(name))
    if entry.isfile() and entry.size <= _MAX_SCANNED_BYTES and not name.startswith(_NOT_SCANNED):
        file = layer.extractfile(entry)
        if file is not None and SECRETS.search(file.read()):
            yield "secret in a file"


def _find_config_secrets(config: dict[str, Any]) -> Iterator[Unexpected]:
    """Finds secrets in environment, labels or history, which anyone with the image can read."""
    for part in ("config", "history"):
        if SECRETS.search(json.dumps(config.get(part)).encode()):
            yield Unexpected("secret in the configuration", part)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.getmember(name)
    while member.issym():  # older engines write identical layers once, and link to them
        member = tar.getmember(posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname)))
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{name} in the archive is not a file")
    return file
