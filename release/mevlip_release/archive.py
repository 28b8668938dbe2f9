"""Exports the image as an archive to upload, with its release files: manifest, SBOM, provenance and checksums."""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import atomic_file, file_sha256, write_text_atomically
from mevlip.core.progress import Progress
from mevlip_release.docker_client import InvalidImage, engine_failures, get_image
from mevlip_release.image_checkpoint import read_checkpoint
from mevlip_release.inspection import Inspection, inspect_archive
from mevlip_release.release_files import CHECKSUMS, MANIFEST, PROVENANCE, SBOM, ArchiveFile, Release
from mevlip_release.smoke_test import CaseResult

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

TEAM = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
COMPRESSION_LEVEL = 1
"""gzip level. Weights hardly compress: a higher level takes minutes longer and saves about 1 % of the size."""
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
        release_files: Manifest, SBOM, provenance and checksums.
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
        read_checkpoint(inspection.files, tag)
        size = draft.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise InvalidImage(
                f"{archive.name} would be {size} bytes; the limit is {max_bytes}",
                "Remove unused files from the checkpoint.",
            )
    saved = ArchiveFile.of(archive)
    release = Release(saved, tag, inspection, _tool_versions(client), [result.plain() for result in results])
    return SavedImage(archive, saved.size, saved.sha256, _write_release_files(out, release))


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


def _write_release_files(out: Path, release: Release) -> tuple[Path, ...]:
    manifest, sbom, provenance, checksums = (out / name for name in (MANIFEST, SBOM, PROVENANCE, CHECKSUMS))
    write_text_atomically(manifest, release.manifest())
    write_text_atomically(sbom, release.sbom())
    write_text_atomically(provenance, release.provenance(file_sha256(manifest)))
    hashes = {release.archive.name: release.archive.sha256}
    hashes |= {path.name: file_sha256(path) for path in (manifest, sbom, provenance)}
    # In the format of `sha256sum --check`.
    write_text_atomically(checksums, "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items()))
    return manifest, sbom, provenance, checksums


def _tool_versions(client: DockerClient) -> dict[str, str]:
    engine = client.version()
    return {
        "engine": f"{engine.get('Platform', {}).get('Name') or 'docker'} {engine['Version']}",
        "api": engine["ApiVersion"],
        "docker sdk": version("docker"),
        "python": sys.version.split()[0],
    }
