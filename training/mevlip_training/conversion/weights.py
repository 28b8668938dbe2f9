"""Which tensor of the original files each tensor of transformers' layout is, and reading them one at a time."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mevlip.checkpoints.records import first_error
from mevlip.core.errors import CheckpointError
from mevlip_training.conversion.original import is_leftover, new_names

_REFETCH = "Fetch the base again, all of its safetensors files."
_NUMBERS = {"BF16", "F16", "F32"}
_NAMED = 3


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        file: The file.
        key: Its name there.
        shape: Its shape.
        dtype: Its type, as safetensors calls it.
    """

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Piece:
    """A tensor to be written.

    Attributes:
        source: What it is cut from.
        start: Its first row there.
        stop: The row after its last.
    """

    source: Stored
    start: int
    stop: int

    @property
    def shape(self) -> torch.Size:
        """Its shape."""
        return torch.Size([self.stop - self.start, *self.source.shape[1:]])

    def read(self) -> torch.Tensor:
        """Reads it, in bfloat16 and in memory of its own.

        Raises:
            CheckpointError: The file is damaged, or a number is not finite.
        """
        with _opened(self.source.file) as file:
            rows = file.get_slice(self.source.key)[self.start : self.stop]
            tensor: torch.Tensor = rows.to(torch.bfloat16, copy=True)
        least, most = torch.aminmax(tensor)  # as large as two numbers, where isfinite makes copies
        if not (least.isfinite() and most.isfinite()):
            raise CheckpointError(f"{self.source.file}: {self.source.key} holds numbers that are not finite", _REFETCH)
        return tensor


def find_files(folder: Path) -> list[Path]:
    """The weights of a base; nothing else in its folder is opened.

    Raises:
        CheckpointError: There are none, or one is not a regular file.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = next((path.name for path in sorted(folder.iterdir()) if path.suffix in (".bin", ".pt", ".pth")), None)
        beside = f", only {pickled}, a format that can hold code" if pickled else ""
        raise CheckpointError(f"{folder} has no *.safetensors{beside}", "Fetch the base as safetensors.")
    for path in files:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a regular file", _REFETCH)
    return files


def read_headers(files: Iterable[Path]) -> dict[str, Stored]:
    """What is stored in files, by its name there; no tensor is read.

    Raises:
        CheckpointError: A file is damaged, or two have a tensor of the same name.
    """
    found: dict[str, Stored] = {}
    for path in files:
        with _opened(path) as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                if key in found:
                    raise CheckpointError(f"{path} and {found[key].file} both hold {key}", _REFETCH)
                part = file.get_slice(key)
                found[key] = Stored(path, key, tuple(part.get_shape()), part.get_dtype())
    return found


def plan(folder: Path, stored: Mapping[str, Stored], wanted: Mapping[str, torch.Size]) -> dict[str, Piece]:
    """Finds the one place of every tensor that the model has.

    Args:
        folder: The original base's, as messages name it.
        stored: Its tensors by name.
        wanted: Shapes of the model's tensors by name in transformers' layout.

    Returns:
        A piece for each wanted name, in the order of `wanted`.

    Raises:
        CheckpointError: A tensor of the files is unknown, one of the model's is missing, a shape or type is another,
            or two tensors would have one name.
    """
    mine = {key: (one, new_names(key)) for key, one in stored.items() if not is_leftover(key)}
    unknown = [key for key, (_, names) in mine.items() if not wanted.keys() >= set(names)]
    _refuse(folder, "holds", unknown, "does not have")
    pieces: dict[str, Piece] = {}
    for key, (one, names) in mine.items():
        if one.dtype not in _NUMBERS:
            raise CheckpointError(f"{one.file}: {key} is stored as {one.dtype}, not BF16, F16 or F32", _REFETCH)
        height, rest = divmod(one.shape[0] if one.shape else 0, len(names))
        for number, name in enumerate(names):
            piece = Piece(one, number * height, (number + 1) * height)
            if rest or piece.shape != wanted[name]:
                raise CheckpointError(
                    f"{one.file}: {key} has the shape {one.shape}, by config.json {name} has {tuple(wanted[name])}",
                    "Config and weights do not belong together: fetch both again.",
                )
            if name in pieces:
                raise CheckpointError(f"{key} and {pieces[name].source.key} are both {name}", _REFETCH)
            pieces[name] = piece
    _refuse(folder, "lacks", [name for name in wanted if name not in pieces], "has")
    return {name: pieces[name] for name in wanted}


def _refuse(folder: Path, there: str, names: list[str], described: str) -> None:
    """Raises CheckpointError where files and config.json differ in any tensors."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise CheckpointError(
            f"{folder} {there} {len(names)} tensors that config.json {described}: {', '.join(names[:_NAMED])}{more}",
            "Config and weights do not belong together, or the files are incomplete: fetch both again.",
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a safetensors file.

    Raises:
        CheckpointError: It is damaged or cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({first_error(error)})", _REFETCH) from error
