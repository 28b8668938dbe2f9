"""The small JSON files of a checkpoint folder: bounded before they are read, checked against their contract, frozen.

Whoever writes a checkpoint may be a stranger, so neither its files' sizes nor the text in them is trusted.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mevlip.core.errors import CheckpointError, fault_text
from mevlip.core.files import read_bounded
from mevlip.core.text import visible

MEBIBYTE = 1 << 20
MANIFEST_LIMIT = MEBIBYTE
"""Bytes of manifest.json: room for some five thousand files; a checkpoint has about sixty."""
RECORD_LIMIT = MEBIBYTE // 4
"""Bytes of any other record: a route has half a kilobyte, an adapter_config.json one."""
TEXT_LIMIT = 64 * MEBIBYTE
"""Bytes of a file that is not weights; the largest tokenizer.json in use, Gemma 3's, has 33 MB."""

LINE_LIMIT = 200
"""Characters of a text that is shown to people."""
_ERROR_LIMIT = 200

WEIGHTS_SUFFIX = ".safetensors"
REFETCH = "Assemble the checkpoint again, or fetch it again."


class FrozenModel(BaseModel):
    """Base of the checked, frozen records in a checkpoint folder; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break, a control character or another one that cannot be seen")
    return text


Line = Annotated[str, Field(max_length=LINE_LIMIT), AfterValidator(_one_line)]
"""Text that is shown to people: one printable line of at most 200 characters."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A sha256 in hexadecimal."""

Record = TypeVar("Record", bound=FrozenModel)


def read_record(path: Path, kind: type[Record], what: str, remedy: str, owner: str = "") -> Record:
    """Reads a JSON file into a record.

    Args:
        path: The file.
        kind: The record's class.
        what: What the file is, as the message names it.
        remedy: What the user can do.
        owner: What the message begins with.

    Raises:
        CheckpointError: The file is absent, too large, or breaks the contract.
    """
    try:
        return kind.model_validate_json(read_bounded(path, RECORD_LIMIT))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{owner}{path} is not a valid {what} ({first_error(error)})", remedy) from error


def first_error(error: Exception) -> str:
    """The first cause of a failed read, in one printable line; keys and values of the file may stand in it."""
    if isinstance(error, ValidationError):
        detail: dict[str, Any] = dict(error.errors(include_url=False, include_input=False)[0])
        place = ".".join(str(part) for part in detail["loc"]) or "content"
        text = f"{place}: {fault_text(detail)}"
    elif isinstance(error, OSError):
        text = error.strerror or type(error).__name__
    else:
        text = str(error)
    return visible(text, _ERROR_LIMIT)


def owner_of(file: str) -> str:
    """Names the adapter that a file of a checkpoint belongs to, for the beginning of a message."""
    parts = PurePosixPath(file).parts
    return f"adapter {parts[1]!r}: " if len(parts) > 2 and parts[0] == "adapters" else ""
