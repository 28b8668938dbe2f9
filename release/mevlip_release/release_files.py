"""The release files of an archive: manifest, SBOM and provenance, all derived from the archive itself.

`image save` writes them, and `image verify` derives them again. Only the versions of the tools and the results of the
tests come from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mevlip.core.files import file_sha256
from mevlip_release import labels
from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_checkpoint import ImageCheckpoint, read_checkpoint
from mevlip_release.inspection import Inspection
from mevlip_release.provenance import make_statement
from mevlip_release.sbom import generate_sbom

MANIFEST, SBOM, PROVENANCE = "manifest.json", "sbom.cyclonedx.json", "provenance.intoto.json"
CHECKSUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.minisig"
ARCHIVE_SUFFIX = ".tar.gz"
_CODE_LABELS = {"version": labels.VERSION, "revision": labels.REVISION, "lock_sha256": labels.LOCK}
"""Image labels that record what the image was built from."""


@dataclass(frozen=True)
class ArchiveFile:
    """Name, size in bytes and sha256 of an archive."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> ArchiveFile:
        """Reads the file.

        Raises:
            OSError: It cannot be read.
        """
        return cls(path.name, path.stat().st_size, file_sha256(path))


@dataclass(frozen=True)
class Release:
    """An archive, and all that its release files say about it.

    Attributes:
        archive: The archive.
        tag: The name under which an engine loads the image.
        inspection: The image in the archive.
        tools: Versions of engine and tools that exported it.
        tests: Results of the tests before it was exported.
    """

    archive: ArchiveFile
    tag: str
    inspection: Inspection
    tools: Mapping[str, str]
    tests: Sequence[Mapping[str, Any]]

    @property
    def checkpoint(self) -> ImageCheckpoint:
        """The checkpoint in the image.

        Raises:
            InvalidImage: There is none, or its files are not the listed ones.
        """
        return read_checkpoint(self.inspection.files, self.tag)

    def manifest(self) -> str:
        """Returns the text of manifest.json.

        Raises:
            InvalidImage: See `checkpoint`.
        """
        inspection = self.inspection
        layers = [{"digest": layer.digest, "size": layer.size, "step": layer.step} for layer in inspection.layers]
        content = {
            "version": 2,
            "archive": asdict(self.archive),
            "image": {
                "tag": self.tag,
                "id": inspection.id,
                "size": sum(layer.size for layer in inspection.layers),
                "labels": inspection.labels,
                "layers": layers,
            },
            "code": {name: inspection.labels.get(label, "unknown") for name, label in _CODE_LABELS.items()},
            "checkpoint": self.checkpoint.describe(),
            "tools": dict(self.tools),
            "tests": list(self.tests),
        }
        return json.dumps(content, indent=1) + "\n"

    def sbom(self) -> str:
        """Returns the text of the SBOM.

        Raises:
            InvalidImage: See `checkpoint`, or a package in the image has a name that cannot be one.
        """
        models = tuple(self.checkpoint.models())
        try:
            return generate_sbom(self.inspection, self.tag, models)
        except ValueError as error:
            raise InvalidImage(
                f"{self.tag}: a package or model in the image cannot be described ({error})",
                "Build the image from the project's Dockerfile.",
            ) from error

    def provenance(self, manifest_sha256: str) -> str:
        """Returns the text of the provenance statement.

        Args:
            manifest_sha256: sha256 of the manifest as it was written.

        Raises:
            InvalidImage: See `checkpoint`.
        """
        subjects = {self.archive.name: self.archive.sha256, MANIFEST: manifest_sha256}
        return make_statement(self.inspection, self.checkpoint, subjects, self.tools)
