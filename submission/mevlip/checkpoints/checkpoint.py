"""Checkpoint folders: finding one, and proving that its files are the ones that were packed.

NAME/manifest.json                    name, kind, base model, sha256 and size of every file
NAME/base/                            the vision-language model, as transformers saves it
NAME/router/                          the GLiClass task classifier and router.json
NAME/adapters/<name>/                 adapter_model.safetensors, adapter_config.json, route.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mevlip.checkpoints.routes import FrozenModel, Quantization, Route, first_error, read_route
from mevlip.core.errors import CheckpointError
from mevlip.core.files import file_sha256, write_text_atomically
from mevlip.tasks import adapter_names

MANIFEST_NAME = "manifest.json"
MEDICAL_NAME = "me-vlip"
DEMO_NAME = "demo"
CODE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".py")
"""Files that could run code when they are loaded; a checkpoint folder has no such file."""

_REFETCH = "Assemble the checkpoint again, or fetch it again."


class FileRecord(FrozenModel):
    """Size in bytes and sha256 of one file."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BaseModelRecord(FrozenModel):
    """Which base model the folder holds."""

    name: str
    revision: str


class Manifest(FrozenModel):
    """Content of manifest.json."""

    version: Literal[1] = 1
    name: str
    kind: Literal["demo", "medical"]
    notice: str = ""
    """One line that the predictor prints at every run; a demo says here what its answers are worth."""
    base: BaseModelRecord
    files: dict[str, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(record.size for record in self.files.values())


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder with its manifest and routes read.

    Attributes:
        folder: The folder, resolved.
        manifest: Its manifest.
        routes: The route of each adapter, by adapter name.
        digest: sha256 of manifest.json, which pins every other file.
    """

    folder: Path
    manifest: Manifest
    routes: dict[str, Route]
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
        CheckpointError: There is no such folder.
    """
    shelves = (Path.cwd() / "checkpoints", Path(__file__).resolve().parents[3] / "checkpoints")
    if choice:
        candidates = [Path(choice), *(shelf / choice for shelf in shelves)]
    else:
        candidates = [shelf / name for name in (MEDICAL_NAME, DEMO_NAME) for shelf in shelves]
    for candidate in candidates:
        if (candidate / MANIFEST_NAME).is_file():
            return candidate
    wanted = f"No checkpoint {choice!r} was found" if choice else "No checkpoint was found"
    raise CheckpointError(
        f"{wanted} (looked for {MANIFEST_NAME} in {', '.join(str(c) for c in dict.fromkeys(candidates))})",
        "Name its folder with --checkpoint.",
    )


def open_checkpoint(folder: Path, advance: Callable[[int], object] = lambda _: None) -> Checkpoint:
    """Reads a checkpoint folder and verifies every file of it; `read_checkpoint` and `verify_files` in one."""
    checkpoint = read_checkpoint(folder)
    verify_files(checkpoint.folder, checkpoint.manifest, advance)
    return checkpoint


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint's manifest and routes, which is quick; its weights are not looked at yet.

    Raises:
        CheckpointError: The manifest or a route is absent, breaks its contract, or they do not fit together.
    """
    folder = folder.resolve()
    manifest, digest = read_manifest(folder)
    routes = {name: read_route(adapter_folder(folder, name)) for name in adapter_names()}
    for name, route in routes.items():
        if (route.base_model, route.base_revision) != (manifest.base.name, manifest.base.revision):
            raise CheckpointError(
                f"adapter {name!r} was trained on {route.base_model}@{route.base_revision}, "
                f"the checkpoint holds {manifest.base.name}@{manifest.base.revision}",
                "Assemble adapters with the base they were trained on.",
            )
    if len({route.quantization for route in routes.values()}) > 1:
        raise CheckpointError(
            "The adapters' routes ask for different quantization of one base",
            "Train all adapters with the same quantization settings.",
        )
    return Checkpoint(folder, manifest, routes, digest)


def stored_quantization(base: Path) -> dict[str, Any] | None:
    """How a base model's files are quantized, as transformers writes it into config.json; None where they are not.

    Raises:
        CheckpointError: The file is missing or is not a JSON object.
    """
    path = base / "config.json"
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})", _REFETCH) from error
    stored: dict[str, Any] | None = config.get("quantization_config")
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
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is not a valid manifest ({first_error(error)})", _REFETCH) from error
    return manifest, hashlib.sha256(content).hexdigest()


def verify_files(folder: Path, manifest: Manifest, advance: Callable[[int], object] = lambda _: None) -> None:
    """Compares every file of a checkpoint folder with its manifest.

    Args:
        folder: The checkpoint folder.
        manifest: Its manifest.
        advance: Called with the number of bytes just hashed, for a progress bar.

    Raises:
        CheckpointError: Names the first file that is missing, altered, unlisted or of a refused kind.
    """
    listed = set(manifest.files)
    for name in sorted(listed):
        parts = PurePosixPath(name).parts
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise CheckpointError(f"{MANIFEST_NAME} lists {name!r}, which lies outside the folder", _REFETCH)
    present = set(list_files(folder))
    for name in sorted(present):
        if name.endswith(CODE_SUFFIXES):
            raise CheckpointError(
                f"{_owner(name)}{name} is a file that can run code when loaded", "Keep weights as safetensors only."
            )
    for name in sorted(listed - present):
        raise CheckpointError(f"{_owner(name)}{name} is missing from {folder}", _REFETCH)
    for name in sorted(present - listed):
        raise CheckpointError(f"{_owner(name)}{name} is not listed in {folder / MANIFEST_NAME}", _REFETCH)

    def check(name: str) -> str | None:
        record, path = manifest.files[name], folder / name
        try:
            if path.stat().st_size != record.size:
                return f"{_owner(name)}{name} has {path.stat().st_size} bytes instead of {record.size}"
            if file_sha256(path, advance) != record.sha256:
                return f"{_owner(name)}{name} fails its checksum"
        except OSError as error:
            return f"{_owner(name)}{name} cannot be read ({error.strerror})"
        return None

    # Hashing releases the interpreter lock, so a few threads read a large checkpoint at the disk's speed.
    with ThreadPoolExecutor(max_workers=4) as pool:
        for problem in pool.map(check, sorted(listed)):
            if problem:
                raise CheckpointError(problem, _REFETCH)


def list_files(folder: Path) -> Iterator[str]:
    """Names of all files below a checkpoint folder but its manifest, relative, with forward slashes."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts) and name.as_posix() != MANIFEST_NAME:
            yield name.as_posix()


def write_manifest(
    folder: Path, *, name: str, kind: Literal["demo", "medical"], notice: str, base: BaseModelRecord
) -> Manifest:
    """Records every file of a checkpoint folder in its manifest.json, and lets every user read it.

    Libraries write weights that only their owner may read; in a container another user may run.
    """
    files = {}
    for file in sorted(list_files(folder)):
        path = folder / file
        path.chmod(path.stat().st_mode | 0o444)
        files[file] = FileRecord(size=path.stat().st_size, sha256=file_sha256(path))
    manifest = Manifest(name=name, kind=kind, notice=notice, base=base, files=files)
    write_text_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def _owner(file: str) -> str:
    """Names the adapter that a file belongs to, for messages."""
    parts = PurePosixPath(file).parts
    return f"adapter {parts[1]!r}: " if len(parts) > 2 and parts[0] == "adapters" else ""
