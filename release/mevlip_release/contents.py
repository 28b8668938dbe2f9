"""What is in an exported image: its layers, their sizes, and what has no place in them."""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mevlip.core.tables import shorten

_BIN = r"(?:^|/)s?bin/"
JUNK = {
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
"""Names that no layer may hold, by what they are. torch imports its own `test` folders; a base's own are its matter."""

SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{40,}"
    rb"|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----"
)
_CONTRACT = re.compile(r"^(?:\./)?app/checkpoints/[^/]+/(manifest\.json|adapters/[^/]+/route\.json)$")
_LONGEST_SCANNED = 1_000_000
"""Bytes: tokens stand in settings and scripts; larger files are libraries and weights."""
_FOREIGN = ("opt/venv/", "usr/")
"""Packages, pinned by the lock, hold public tokens of their own tests, and pictures that look like some."""


@dataclass(frozen=True)
class Layer:
    """One layer of an image.

    Attributes:
        digest: sha256 of the layer unpacked, which the image's configuration names.
        step: The build step that made it; empty for the base's.
        size: Bytes of its files.
        files: Their names.
    """

    digest: str
    step: str
    size: int
    files: tuple[str, ...]

    @property
    def short_step(self) -> str:
        """The step without the builder's decoration, one line."""
        return shorten(" ".join(re.sub(r"^/bin/sh -c (?:#\(nop\) )?", "", self.step).split()), 90) or "(base)"


@dataclass(frozen=True)
class Found:
    """Something that has no place in an image.

    Attributes:
        kind: What it is.
        where: File, or part of the configuration.
    """

    kind: str
    where: str


@dataclass(frozen=True)
class Contents:
    """An exported image.

    Attributes:
        config: Its configuration, as the engine keeps it.
        layers: Its layers, the base's first.
        junk: What has no place in it.
        contracts: Its checkpoint's manifest and routes, by their names below the checkpoint's folder.
    """

    config: dict[str, Any]
    layers: tuple[Layer, ...]
    junk: tuple[Found, ...]
    contracts: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict((self.config.get("config") or {}).get("Labels") or {})

    def rows(self) -> list[tuple[str, str, str]]:
        """Rows of size in MB, number of files and build step, the base's layers first."""
        return [(f"{one.size / 1e6:.1f}", str(len(one.files)), one.short_step) for one in self.layers]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"labels": self.labels, "layers": list(map(asdict, self.layers)), "junk": list(map(asdict, self.junk))}


def read_contents(archive: Path) -> Contents:
    """Reads an uncompressed archive as `docker save` writes it.

    Args:
        archive: The file; of several images the first is read.
    """
    with tarfile.open(archive) as tar:
        described = json.load(_member(tar, "manifest.json"))[0]
        config = json.load(_member(tar, described["Config"]))
        steps = [one for one in config.get("history", []) if not one.get("empty_layer")]
        digests = config["rootfs"]["diff_ids"]
        steps = [{}] * (len(digests) - len(steps)) + steps  # an imported base tells of no steps
        layers, junk = [], list(_told(config))
        contracts: dict[str, bytes] = {}
        for name, digest, step in zip(described["Layers"], digests, steps, strict=True):
            files, size = [], 0
            with tarfile.open(fileobj=_member(tar, name)) as layer:
                for entry in layer:
                    files.append(entry.name)
                    size += entry.size
                    junk += [Found(kind, entry.name) for kind in _kinds(layer, entry)]
                    if (known := _CONTRACT.search(entry.name)) and (file := layer.extractfile(entry)):
                        contracts[known[1]] = file.read()
            layers.append(Layer(digest, str(step.get("created_by", "")), size, tuple(files)))
    return Contents(config, tuple(layers), tuple(junk), contracts)


def _kinds(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[str]:
    name = entry.name.removeprefix("./")
    if entry.isdir():
        return
    yield from (kind for kind, pattern in JUNK.items() if pattern.search(name))
    if entry.isfile() and entry.size <= _LONGEST_SCANNED and not name.startswith(_FOREIGN):
        file = layer.extractfile(entry)
        if file is not None and SECRETS.search(file.read()):
            yield "secret in a file"


def _told(config: dict[str, Any]) -> Iterator[Found]:
    """Secrets in environment, labels or history, which everybody can read."""
    for part in ("config", "history"):
        if SECRETS.search(json.dumps(config.get(part)).encode()):
            yield Found("secret in the configuration", part)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.getmember(name)
    while member.issym():  # older engines write equal layers once, and link to them
        member = tar.getmember(posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname)))
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{name} in the archive is no file")
    return file
