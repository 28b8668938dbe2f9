"""The archive that is uploaded, and the papers that go with it: manifest, bill of materials, checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from mevlip.checkpoints.checkpoint import MANIFEST_NAME, Manifest
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import atomic_file, file_sha256, write_text_atomically, writing
from mevlip.core.progress import Progress
from mevlip_release.bill import bill_of_materials
from mevlip_release.contents import Contents, read_contents
from mevlip_release.engine import ImageFault, get_image, load_archive
from mevlip_release.trial import Outcome

if TYPE_CHECKING:
    from docker import DockerClient

TEAM = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
LEVEL = 1
"""Weights hardly shrink: a higher level costs minutes for a hundredth of the size."""
MANIFEST, BILL, SUMS = "manifest.json", "sbom.cyclonedx.json", "SHA256SUMS"
_CODE = {
    "version": "org.opencontainers.image.version",
    "revision": "org.opencontainers.image.revision",
    "lock_sha256": "org.me-vlip.lock-sha256",
}
"""Where the image itself says what it was built from."""
_STEP = 4 << 20


@dataclass(frozen=True)
class Saved:
    """What was written.

    Attributes:
        archive: The archive.
        size: Its bytes.
        sha256: Its hash.
        papers: Manifest, bill of materials and checksums.
    """

    archive: Path
    size: int
    sha256: str
    papers: tuple[Path, ...]


def save_image(
    client: DockerClient,
    team: str,
    out: Path,
    outcomes: Sequence[Outcome],
    most_bytes: int | None = None,
    quiet: bool = False,
) -> Saved:
    """Writes TEAM.tar.gz, which `docker load -i` reads, and its papers; loads it back to prove it.

    Args:
        client: The engine, which has an image TEAM:latest.
        team: The team's name.
        out: The folder to write.
        outcomes: What `try_image` gave.
        most_bytes: Largest archive; none where None.
        quiet: Whether to show no progress.

    Raises:
        ImageFault: The image holds what has no place in it, the archive is too large, or it loads as another image.
        EnvironmentProblem: The name is not allowed, or the folder cannot be written.
    """
    if not TEAM.fullmatch(team):
        raise EnvironmentProblem(
            f"{team!r} is no name for an image", "Use lower-case letters, digits, '.', '_' and '-'."
        )
    tag = f"{team}:latest"
    image = get_image(client, tag)
    archive = out / f"{team}.tar.gz"
    with writing(out, "Free space, or name another --out."):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".mevlip-", suffix=".tar") as plain:
            with Progress("saving", int(image.attrs["Size"]), "B", quiet) as progress:
                for chunk in image.save(named=tag, chunk_size=_STEP):
                    plain.write(chunk)
                    progress.advance(len(chunk))
            plain.flush()
            contents = read_contents(Path(plain.name))
            _refuse_junk(contents, tag)
            checkpoint = _checkpoint(contents, tag)
            plain.seek(0)
            size, sha256 = _compress(plain, archive, quiet)
        if most_bytes is not None and size > most_bytes:
            archive.unlink()
            raise ImageFault(
                f"{archive.name} would be {size} bytes, {most_bytes} are allowed",
                "Leave out a checkpoint's unused files.",
            )
        _load_back(client, archive, str(image.id))
        papers = _write_papers(client, tag, out, archive, sha256, outcomes, contents, checkpoint)
    return Saved(archive, size, sha256, papers)


def _refuse_junk(contents: Contents, tag: str) -> None:
    if contents.junk:
        first = contents.junk[0]
        raise ImageFault(
            f"{tag} holds {len(contents.junk)} things that have no place in it, first a {first.kind}: {first.where}",
            "`mevlip image inspect` lists them; build from the project's Dockerfile.",
        )


def _compress(plain: IO[bytes], archive: Path, quiet: bool) -> tuple[int, str]:
    """Compresses without name or time in the header, so that equal images give equal archives."""
    total = Path(plain.name).stat().st_size
    with (
        atomic_file(archive) as draft,
        draft.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=LEVEL, mtime=0) as packed,
        Progress("compressing", total, "B", quiet) as progress,
    ):
        while chunk := plain.read(_STEP):
            packed.write(chunk)
            progress.advance(len(chunk))
    return archive.stat().st_size, file_sha256(archive)


def _load_back(client: DockerClient, archive: Path, wanted: str) -> None:
    if str(load_archive(client, archive).id) != wanted:
        raise ImageFault(
            f"{archive.name} loads as another image than was saved", "Save it again; if it stays, report it."
        )


def _write_papers(
    client: DockerClient,
    tag: str,
    out: Path,
    archive: Path,
    sha256: str,
    outcomes: Sequence[Outcome],
    contents: Contents,
    checkpoint: dict[str, Any],
) -> tuple[Path, ...]:
    manifest, bill, sums = out / MANIFEST, out / BILL, out / SUMS
    image = get_image(client, tag)
    content = {
        "version": 1,
        "archive": {"name": archive.name, "size": archive.stat().st_size, "sha256": sha256},
        "image": {
            "tag": tag,
            "id": image.id,
            "size": image.attrs["Size"],
            "labels": contents.labels,
            "layers": [{"digest": one.digest, "size": one.size, "step": one.step} for one in contents.layers],
        },
        "code": {name: contents.labels.get(label, "unknown") for name, label in _CODE.items()},
        "checkpoint": checkpoint,
        "tools": _tools(client),
        "tests": [one.plain() for one in outcomes],
    }
    write_text_atomically(manifest, json.dumps(content, indent=1) + "\n")
    write_text_atomically(bill, bill_of_materials(client, tag, contents.config))
    write_text_atomically(sums, _sums((archive, manifest, bill)))
    return manifest, bill, sums


def _checkpoint(contents: Contents, tag: str) -> dict[str, Any]:
    """What the image's own checkpoint says of itself; the build and every run prove that it is true."""
    try:
        manifest = Manifest.model_validate_json(contents.contracts[MANIFEST_NAME])
    except (KeyError, ValidationError) as error:
        raise ImageFault(
            f"{tag} holds no checkpoint with a valid {MANIFEST_NAME}", "Build it with mevlip image build."
        ) from error
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.contracts.items())}
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "base": manifest.base.model_dump(),
        "manifest_sha256": hashes.pop(MANIFEST_NAME),
        "files": {name: record.sha256 for name, record in sorted(manifest.files.items())},
        "routes": {PurePosixPath(name).parent.name: value for name, value in hashes.items()},
    }


def _tools(client: DockerClient) -> dict[str, str]:
    engine = client.version()
    return {
        "engine": f"{engine.get('Platform', {}).get('Name') or 'docker'} {engine['Version']}",
        "api": engine["ApiVersion"],
        "docker sdk": version("docker"),
        "python": sys.version.split()[0],
    }


def _sums(paths: Iterable[Path]) -> str:
    """As `sha256sum --check` reads them."""
    return "".join(f"{file_sha256(path)}  {path.name}\n" for path in paths)
