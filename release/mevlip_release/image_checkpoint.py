"""The checkpoint in an image: its manifest, and whether the weights in the image are the listed ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from mevlip.checkpoints.checkpoint import MANIFEST_NAME, Manifest
from mevlip.checkpoints.records import WEIGHTS_SUFFIX
from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_files import ImageFiles

_MANIFEST_PATH = re.compile(r"^app/checkpoints/[^/]+/manifest\.json$")
_REVISION = re.compile(r"[0-9a-f]{40}")
_REMEDY = "Build it with mevlip image build."


@dataclass(frozen=True)
class ModelWeights:
    """The weights of one model.

    Attributes:
        role: Its folder in the checkpoint: `base`, `router` or `adapters/NAME`.
        name: What it is called.
        version: Its revision; empty where only its hashes tell versions apart.
        files: sha256 of each weight file, by path relative to the checkpoint.
        purl: Its package URL, where it is a commit of a model hub; else empty.
    """

    role: str
    name: str
    version: str
    files: dict[str, str]
    purl: str = ""


@dataclass(frozen=True)
class ImageCheckpoint:
    """A checkpoint in an image, all of whose files are in the image as its manifest lists them.

    Attributes:
        manifest: Its manifest.
        manifest_sha256: sha256 of manifest.json, which pins every other file.
        routes: sha256 of each adapter's route.json, by adapter.
    """

    manifest: Manifest
    manifest_sha256: str
    routes: dict[str, str]

    def describe(self) -> dict[str, Any]:
        """Returns what the release manifest says about it."""
        return {
            "name": self.manifest.name,
            "kind": self.manifest.kind,
            "base": self.manifest.base.model_dump(),
            "manifest_sha256": self.manifest_sha256,
            "files": {name: record.sha256 for name, record in sorted(self.manifest.files.items())},
            "routes": self.routes,
        }

    def models(self) -> Iterator[ModelWeights]:
        """Yields base model, adapters and router, sorted by role."""
        weights: dict[str, dict[str, str]] = {}
        for path, record in sorted(self.manifest.files.items()):
            if path.endswith(WEIGHTS_SUFFIX):
                weights.setdefault(str(PurePosixPath(path).parent), {})[path] = record.sha256
        base = self.manifest.base
        for role, files in sorted(weights.items()):
            if role == "base":
                hub = f"pkg:huggingface/{base.name}@{base.revision}" if _REVISION.fullmatch(base.revision) else ""
                yield ModelWeights(role, base.name, base.revision, files, hub)
            else:
                yield ModelWeights(role, f"{self.manifest.name}/{role}", "", files)


def read_checkpoint(files: ImageFiles, owner: str) -> ImageCheckpoint:
    """Reads the checkpoint of an image.

    Args:
        files: The image's file system.
        owner: What to call the image in messages.

    Raises:
        InvalidImage: There is not exactly one checkpoint with a valid manifest, or a file of it is absent or altered.
    """
    found = [path for path in files.kept if _MANIFEST_PATH.match(path)]
    try:
        [path] = found
        manifest = Manifest.model_validate_json(files.kept[path])
    except (ValueError, ValidationError) as error:
        cause = f"{owner} does not contain a checkpoint with a valid {MANIFEST_NAME}"
        if len(found) > 1:
            cause = f"{owner} contains {len(found)} checkpoints; a run uses one"
        raise InvalidImage(cause, _REMEDY) from error
    folder = path.removesuffix(MANIFEST_NAME)
    for name, record in sorted(manifest.files.items()):
        entry = files.entries.get(folder + name)
        if entry is None or entry.content != record.sha256:
            fault = "is missing" if entry is None else "is not the listed one"
            raise InvalidImage(f"{owner}: {name} of the checkpoint {fault} in the image", _REMEDY)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.kept.items())}
    routes = {
        PurePosixPath(name).parent.name: digest
        for name, digest in digests.items()
        if name.startswith(folder) and name.endswith("/route.json")
    }
    return ImageCheckpoint(manifest, digests[path], routes)
