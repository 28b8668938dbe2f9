"""Checkpoint folders: finding one, and proving that its files are the ones that were packed.

NAME/manifest.json                    name, kind, base model, sha256 and size of every file
NAME/base/                            the vision-language model, as transformers saves it
NAME/router/                          the GLiClass task classifier and router.json
NAME/adapters/<name>/                 adapter_model.safetensors, adapter_config.json, route.json, probe.json
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mevlip.checkpoints.adapter_config import CONFIG_NAME, WEIGHTS_NAME
from mevlip.checkpoints.fingerprints import adapter_fingerprint, base_fingerprint
from mevlip.checkpoints.probes import PROBE_NAME, Probe
from mevlip.checkpoints.records import (
    LINE_LIMIT,
    MANIFEST_LIMIT,
    MEBIBYTE,
    RECORD_LIMIT,
    REFETCH,
    TEXT_LIMIT,
    WEIGHTS_SUFFIX,
    Digest,
    FrozenModel,
    Line,
    first_error,
    owner_of,
    read_record,
)
from mevlip.checkpoints.routes import ROUTE_NAME, Quantization, Route, check_together, read_route
from mevlip.checkpoints.verification import Stamp, Verification, check_sizes
from mevlip.core.errors import CheckpointError
from mevlip.core.files import file_sha256, read_bounded, write_text_atomically
from mevlip.core.text import visible
from mevlip.tasks import TaskType, adapter_names

MANIFEST_NAME = "manifest.json"
MEDICAL_NAME = "me-vlip"
DEMO_NAME = "demo"
CODE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".py")
"""Files that could run code when they are loaded; a checkpoint folder has no such file."""

_READABLE = "Name a checkpoint folder that this user may read."
_ONE_LINE = "Names and the notice are one printable line of at most 200 characters."
_REPACK = "Put the packed files back, or pack the adapter again with `mevlip train adapters`."


class FileRecord(FrozenModel):
    """Size in bytes and sha256 of one file."""

    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class BaseModelRecord(FrozenModel):
    """Which base model the folder holds."""

    name: Line
    revision: Line


class Manifest(FrozenModel):
    """Content of manifest.json."""

    version: Literal[1] = 1
    name: Line
    kind: Literal["demo", "medical"]
    notice: Line = ""
    """One line that the predictor prints at every run; a demo says here what its answers are worth."""
    base: BaseModelRecord
    generalist_for: tuple[TaskType, ...] = ()
    """Tasks without an adapter of their own, which the generalist answers."""
    files: dict[Line, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(record.size for record in self.files.values())

    def checksums(self, folder: str) -> dict[str, str]:
        """sha256 of the files directly in a folder of the checkpoint, by name."""
        paths = {PurePosixPath(name): record.sha256 for name, record in self.files.items()}
        return {path.name: sha256 for path, sha256 in paths.items() if path.parent == PurePosixPath(folder)}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder with its manifest and routes read.

    Attributes:
        folder: The folder, resolved.
        manifest: Its manifest.
        routes: The route of each adapter that there is, by adapter name.
        probes: The known answer of each adapter that has one.
        digest: sha256 of manifest.json, which pins every other file.
    """

    folder: Path
    manifest: Manifest
    routes: dict[str, Route]
    probes: dict[str, Probe]
    digest: str

    @property
    def base(self) -> Path:
        """Folder of the base model."""
        return self.folder / "base"

    @property
    def router(self) -> Path:
        """Folder of the task classifier."""
        return self.folder / "router"

    def adapter(self, name: str) -> Path:
        """Folder of one adapter."""
        return adapter_folder(self.folder, name)

    @property
    def quantization(self) -> Quantization:
        """How the base is stored: one setting, shared by all routes."""
        return next(iter(self.routes.values())).quantization


def find_checkpoint(choice: str | None) -> Path:
    """Chooses the checkpoint folder.

    Args:
        choice: A folder, a name below `checkpoints`, or None for the first that exists of the medical one and the demo.

    Raises:
        CheckpointError: The folder does not exist or cannot be read.
    """
    shelves = [folder / "checkpoints" for folder in (_current_folder(), Path(__file__).resolve().parents[3]) if folder]
    if choice:
        candidates = [Path(choice), *(shelf / choice for shelf in shelves)]
    else:
        candidates = [shelf / name for name in (MEDICAL_NAME, DEMO_NAME) for shelf in shelves]
    for candidate in candidates:
        try:
            if (candidate / MANIFEST_NAME).is_file():
                return candidate
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            raise CheckpointError(f"{candidate} cannot be read ({first_error(error)})", _READABLE) from error
    wanted = f"No checkpoint {choice!r} was found" if choice else "No checkpoint was found"
    raise CheckpointError(
        f"{wanted} (looked for {MANIFEST_NAME} in {', '.join(str(c) for c in dict.fromkeys(candidates))})",
        "Name its folder with --checkpoint.",
    )


def _current_folder() -> Path | None:
    """The current folder; None where it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def open_checkpoint(folder: Path, advance: Callable[[int], object] = lambda _: None) -> Checkpoint:
    """Reads a checkpoint folder and verifies every file of it; `read_checkpoint` and `verify_files` in one."""
    checkpoint = read_checkpoint(folder)
    verify_files(checkpoint.folder, checkpoint.manifest, advance)
    return checkpoint


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint's manifest, routes and known answers, which is quick; its weights are not looked at yet.

    Fingerprints in the routes are compared with the manifest's checksums; that the files have these checksums is for
    `verify_files` to show.

    Raises:
        CheckpointError: The manifest or a route is absent, breaks its contract, or they do not fit together.
    """
    try:
        folder = folder.resolve(strict=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read ({first_error(error)})", _READABLE) from error
    manifest, digest = read_manifest(folder)
    names = [name for name in adapter_names() if name not in manifest.generalist_for]
    routes = {name: read_route(adapter_folder(folder, name)) for name in names}
    for name, route in routes.items():
        if (route.base_model, route.base_revision) != (manifest.base.name, manifest.base.revision):
            raise CheckpointError(
                f"adapter {name!r} was trained on {route.base_model}@{route.base_revision}, "
                f"the checkpoint holds {manifest.base.name}@{manifest.base.revision}",
                "Assemble adapters with the base they were trained on.",
            )
    check_together(routes)
    _check_fingerprints(folder, manifest, routes)
    probes = {}
    for name in routes:
        if f"adapters/{name}/{PROBE_NAME}" in manifest.files:
            path, owner = adapter_folder(folder, name) / PROBE_NAME, f"adapter {name!r}: "
            probes[name] = read_record(path, Probe, "known answer", REFETCH, owner)
    return Checkpoint(folder, manifest, routes, probes, digest)


def _check_fingerprints(folder: Path, manifest: Manifest, routes: Mapping[str, Route]) -> None:
    """Raises CheckpointError for an adapter that was packed with other files, or trained on another base."""
    base = base_fingerprint(folder / "base", manifest.checksums("base"))
    packed = {route.adapter_fingerprint.weights: name for name, route in routes.items() if route.adapter_fingerprint}
    for name, route in routes.items():
        own, owner = adapter_folder(folder, name), f"adapter {name!r}: "
        if route.base_fingerprint is None or route.adapter_fingerprint is None:
            raise CheckpointError(
                f"{owner}{own / ROUTE_NAME} does not say which weights and which base it belongs to "
                f"(version {route.version})",
                f"Assemble the checkpoint again, which adds it: mevlip checkpoint assemble --base {folder / 'base'} "
                f"--adapters {own.parent} --router {folder / 'router'} --out NEW.",
            )
        if different := route.base_fingerprint.differences(base):
            raise CheckpointError(
                f"{owner}it was trained on another base than {folder / 'base'} holds: "
                f"{' and '.join(different)} of the base differ",
                "Assemble adapters with the base they were trained on.",
            )
        weights = manifest.checksums(f"adapters/{name}").get(WEIGHTS_NAME)
        if weights is None:
            raise CheckpointError(f"{owner}{own / WEIGHTS_NAME} is not listed in {folder / MANIFEST_NAME}", REFETCH)
        if weights != route.adapter_fingerprint.weights:
            other = f"those of {packed[weights]!r}" if weights in packed else "not those it was packed with"
            raise CheckpointError(f"{owner}the weights in {own / WEIGHTS_NAME} are {other}", _REPACK)
        if route.adapter_fingerprint.differences(adapter_fingerprint(own, weights)):
            raise CheckpointError(
                f"{owner}{own / CONFIG_NAME} was changed after the adapter was packed: rank, alpha, scaling, target "
                "modules or another setting that its answers depend on",
                _REPACK,
            )


def stored_quantization(base: Path) -> dict[str, Any] | None:
    """How a base model's files are quantized, as transformers writes it into config.json; None where they are not.

    Raises:
        CheckpointError: The file is missing or is not a JSON object.
    """
    path = base / "config.json"
    try:
        config = json.loads(read_bounded(path, RECORD_LIMIT))
        if not isinstance(config, dict):
            raise ValueError("not an object")
        stored: dict[str, Any] | None = config.get("quantization_config")
        if not isinstance(stored, dict | None):
            raise ValueError("quantization_config is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({first_error(error)})", REFETCH) from error
    return stored


def adapter_folder(folder: Path, name: str) -> Path:
    """Folder of one adapter in a checkpoint folder."""
    return folder / "adapters" / name


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Reads manifest.json and its sha256.

    Raises:
        CheckpointError: It is absent or breaks its contract.
    """
    path = folder / MANIFEST_NAME
    try:
        content = read_bounded(path, MANIFEST_LIMIT)
        manifest = Manifest.model_validate_json(content)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a valid manifest ({first_error(error)})", REFETCH) from error
    return manifest, hashlib.sha256(content).hexdigest()


def verify_files(folder: Path, manifest: Manifest, advance: Callable[[int], object] = lambda _: None) -> None:
    """Compares every file of a checkpoint folder with its manifest: `begin_verification` and its `wait` in one."""
    begin_verification(folder, manifest).wait(advance)


def begin_verification(
    folder: Path, manifest: Manifest, known: Mapping[str, Stamp] = MappingProxyType({})
) -> Verification:
    """Compares a checkpoint folder with its manifest, all but the content of its weights, which threads then hash.

    Args:
        folder: The checkpoint folder.
        manifest: Its manifest.
        known: Files that were verified before, as they were then; one that is unchanged is not hashed again.

    Returns:
        What compares the weights; no answer of theirs may be given before its `wait` has returned.

    Raises:
        CheckpointError: Names the first file that is missing, unlisted, of a refused kind or of another size, or that
            is altered and is not weights.
    """
    _check_list(folder, manifest)
    begun = Verification(folder, {name: record.sha256 for name, record in manifest.files.items()}, known)
    begun.wait(only=[name for name in manifest.files if not name.endswith(WEIGHTS_SUFFIX)])
    return begun


def _check_list(folder: Path, manifest: Manifest) -> None:
    """Raises CheckpointError where folder and manifest do not list the same files with the same sizes."""
    listed = set(manifest.files)
    for name in sorted(listed):
        parts = PurePosixPath(name).parts
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise CheckpointError(f"{MANIFEST_NAME} lists {name!r}, which lies outside the folder", REFETCH)
        if not name.endswith(WEIGHTS_SUFFIX) and manifest.files[name].size > TEXT_LIMIT:
            raise CheckpointError(
                f"{owner_of(name)}{name} has more than {TEXT_LIMIT // MEBIBYTE} MiB, though it is not weights", REFETCH
            )
    present = set(list_files(folder))
    for name in sorted(present):
        if name.endswith(CODE_SUFFIXES):
            raise CheckpointError(
                f"{owner_of(name)}{visible(name, LINE_LIMIT)} is a file that can run code when loaded",
                "Keep weights as safetensors only.",
            )
    for name in sorted(listed - present):
        raise CheckpointError(f"{owner_of(name)}{name} is missing from {folder}", REFETCH)
    for name in sorted(present - listed):
        what = f"{owner_of(name)}{visible(name, LINE_LIMIT)}"
        raise CheckpointError(f"{what} is not listed in {folder / MANIFEST_NAME}", REFETCH)
    check_sizes(folder, {name: record.size for name, record in manifest.files.items()})


def list_files(folder: Path) -> Iterator[str]:
    """Names of all files below a checkpoint folder but its manifest, relative, with forward slashes.

    Raises:
        CheckpointError: A folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise CheckpointError(f"{error.filename} cannot be read ({error.strerror})", _READABLE) from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            path = Path(place, file)
            name = path.relative_to(folder).as_posix()
            if not file.startswith(".") and name != MANIFEST_NAME and _is_file(path):
                yield name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})", _READABLE) from error


def write_manifest(
    folder: Path,
    *,
    name: str,
    kind: Literal["demo", "medical"],
    notice: str,
    base: BaseModelRecord,
    generalist_for: tuple[TaskType, ...] = (),
    known: Mapping[str, str] = MappingProxyType({}),
) -> Manifest:
    """Records every file of a checkpoint folder in its manifest.json, and lets every user read it.

    Libraries write weights that only their owner may read; in a container another user may run.

    Args:
        folder: The checkpoint folder.
        name: The checkpoint's name.
        kind: What its answers are.
        notice: One line shown at every run; may be empty.
        base: The base model in it.
        generalist_for: Tasks without an adapter of their own.
        known: sha256 of files that were hashed a moment ago, by name in the checkpoint.

    Raises:
        CheckpointError: A name or the notice is not one printable line.
    """
    files = {}
    for file in sorted(list_files(folder)):
        path = folder / file
        path.chmod(path.stat().st_mode | 0o444)
        files[file] = FileRecord(size=path.stat().st_size, sha256=known.get(file) or file_sha256(path))
    try:
        manifest = Manifest(name=name, kind=kind, notice=notice, base=base, generalist_for=generalist_for, files=files)
    except ValidationError as error:
        raise CheckpointError(f"The checkpoint cannot be described ({first_error(error)})", _ONE_LINE) from error
    write_text_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")
    return manifest
