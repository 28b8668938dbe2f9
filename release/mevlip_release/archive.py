"""Exports the image as an archive to upload, with its release files: manifest, SBOM and checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mevlip.checkpoints.checkpoint import MANIFEST_NAME, Manifest
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import atomic_file, file_sha256, write_text_atomically
from mevlip.core.progress import Progress
from mevlip_release.docker_client import InvalidImage, engine_failures, get_image
from mevlip_release.inspection import Inspection, inspect_archive
from mevlip_release.sbom import generate_sbom
from mevlip_release.smoke_test import CaseResult

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

TEAM = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
COMPRESSION_LEVEL = 1
"""gzip level. Weights hardly compress: a higher level takes minutes longer and saves about 1 % of the size."""
MANIFEST, SBOM, CHECKSUMS = "manifest.json", "sbom.cyclonedx.json", "SHA256SUMS"
_CODE_LABELS = {
    "version": "org.opencontainers.image.version",
    "revision": "org.opencontainers.image.revision",
    "lock_sha256": "org.me-vlip.lock-sha256",
}
"""Image labels that record what the image was built from."""
_CHUNK_BYTES = 4 << 20
_LEAST_COMPRESSED = 0.3
"""Part of an image's size that its archive takes at least: packages shrink to a third, weights hardly."""


@dataclass(frozen=True)
class SavedImage:
    """An exported image.

    Attributes:
        archive: The archive.
        size: Size of the archive in bytes.
        sha256: SHA-256 of the archive.
        release_files: Manifest, SBOM and checksums.
    """

    archive: Path
    size: int
    sha256: str
    release_files: tuple[Path, ...]


def save_image(
    client: DockerClient,
    team: str,
    out: Path,
    results: Sequence[CaseResult],
    max_bytes: int | None = None,
    quiet: bool = False,
) -> SavedImage:
    """Writes TEAM.tar.gz for `docker load -i` and its release files, and reads the archive again to verify it.

    Args:
        client: Client of an engine that has the image TEAM:latest.
        team: The team's name.
        out: The output folder.
        results: Results of `run_smoke_tests`.
        max_bytes: Size limit of the archive in bytes; no limit if None.
        quiet: Whether to hide the progress bars.

    Returns:
        Paths, size and hash of what was written.

    Raises:
        InvalidImage: The image contains unexpected files or no valid checkpoint, or the archive is damaged or too
            large.
        EnvironmentProblem: The team name is not a valid image name, or the folder has no room or cannot be written.
        NoEngine: The engine stopped answering.
    """
    if not TEAM.fullmatch(team):
        raise EnvironmentProblem(f"Invalid image name {team!r}", "Use lower-case letters, digits, '.', '_' and '-'.")
    tag = f"{team}:latest"
    image = get_image(client, tag)
    archive = out / f"{team}.tar.gz"
    with atomic_file(archive, "Free space, or name another --out.") as draft:
        _check_space(draft, int(image.attrs["Size"]))
        _write_archive(image, tag, draft, quiet)
        inspection = inspect_archive(draft, quiet)
        _check_unexpected(inspection, tag)
        checkpoint = _describe_checkpoint(inspection, tag)
        size = draft.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise InvalidImage(
                f"{archive.name} would be {size} bytes; the limit is {max_bytes}",
                "Remove unused files from the checkpoint.",
            )
    sha256 = file_sha256(archive)
    release_files = _write_release_files(client, tag, out, archive, sha256, results, inspection, checkpoint)
    return SavedImage(archive, size, sha256, release_files)


def _check_unexpected(inspection: Inspection, tag: str) -> None:
    if inspection.unexpected:
        raise InvalidImage(
            f"{tag} contains {inspection.unexpected_summary}",
            "List them with `mevlip image show`, and build the image from the project's Dockerfile.",
        )


def _check_space(draft: Path, image_bytes: int) -> None:
    """Raises EnvironmentProblem where the archive cannot fit, before minutes are spent on it."""
    free, least = shutil.disk_usage(draft.parent).free, int(_LEAST_COMPRESSED * image_bytes)
    if free < least:
        raise EnvironmentProblem(
            f"{draft.parent} has {free / 1e9:.1f} GB free; the archive takes {least / 1e9:.1f} GB or more",
            "Free space, or name another --out.",
        )


def _write_archive(image: Image, tag: str, draft: Path, quiet: bool) -> None:
    """Writes the image without file name or timestamp in the header, so that the same image gives the same archive."""
    with (
        engine_failures(),
        draft.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=COMPRESSION_LEVEL, mtime=0) as packed,
        Progress("saving", int(image.attrs["Size"]), "B", quiet) as progress,
    ):
        for chunk in image.save(named=tag, chunk_size=_CHUNK_BYTES):
            packed.write(chunk)
            progress.advance(len(chunk))


def _write_release_files(
    client: DockerClient,
    tag: str,
    out: Path,
    archive: Path,
    sha256: str,
    results: Sequence[CaseResult],
    inspection: Inspection,
    checkpoint: dict[str, Any],
) -> tuple[Path, ...]:
    manifest, sbom, checksums = out / MANIFEST, out / SBOM, out / CHECKSUMS
    image = get_image(client, tag)
    content = {
        "version": 2,
        "archive": {"name": archive.name, "size": archive.stat().st_size, "sha256": sha256},
        "image": {
            "tag": tag,
            "id": image.id,
            "size": image.attrs["Size"],
            "labels": inspection.labels,
            "layers": [{"digest": layer.digest, "size": layer.size, "step": layer.step} for layer in inspection.layers],
        },
        "code": {name: inspection.labels.get(label, "unknown") for name, label in _CODE_LABELS.items()},
        "checkpoint": checkpoint,
        "tools": _tool_versions(client),
        "tests": [result.plain() for result in results],
    }
    write_text_atomically(manifest, json.dumps(content, indent=1) + "\n")
    write_text_atomically(sbom, generate_sbom(client, tag, inspection.config))
    write_text_atomically(checksums, _format_checksums((archive, manifest, sbom)))
    return manifest, sbom, checksums


def _describe_checkpoint(inspection: Inspection, tag: str) -> dict[str, Any]:
    """The manifest of the checkpoint in the image; the build and every run verify it against the files."""
    try:
        manifest = Manifest.model_validate_json(inspection.contracts[MANIFEST_NAME])
    except (KeyError, ValidationError) as error:
        raise InvalidImage(
            f"{tag} does not contain a checkpoint with a valid {MANIFEST_NAME}", "Build it with mevlip image build."
        ) from error
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(inspection.contracts.items())}
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "base": manifest.base.model_dump(),
        "manifest_sha256": hashes.pop(MANIFEST_NAME),
        "files": {name: record.sha256 for name, record in sorted(manifest.files.items())},
        "routes": {PurePosixPath(name).parent.name: value for name, value in hashes.items()},
    }


def _tool_versions(client: DockerClient) -> dict[str, str]:
    engine = client.version()
    return {
        "engine": f"{engine.get('Platform', {}).get('Name') or 'docker'} {engine['Version']}",
        "api": engine["ApiVersion"],
        "docker sdk": version("docker"),
        "python": sys.version.split()[0],
    }


def _format_checksums(paths: Iterable[Path]) -> str:
    """One line per file, in the format of `sha256sum --check`."""
    return "".join(f"{file_sha256(path)}  {path.name}\n" for path in paths)
