"""Fingerprints: which weights a route was written for, and on which base they were trained.

Training writes both into route.json; the predictor compares them with the files that the manifest lists, whose
checksums it verifies anyway, so that nothing is hashed twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import CONFIG_NAME, WEIGHTS_NAME, lora_settings
from mevlip.checkpoints.records import Digest, FrozenModel, read_record
from mevlip.core.errors import CheckpointError
from mevlip.core.files import file_sha256

QUANTIZED_FROM_NAME = "quantized_from.json"
_BASE_PARTS = {
    "config": "config.json",
    "weights": "model*.safetensors",
    "tokenizer": "tokenizer.json",
    "images": "preprocessor_config.json",
}
"""The files that training and prediction both read. The chat template is not one of them, as LLaMA-Factory brings its
own; a known answer's tokens pin it. Of generation_config.json only the end tokens are used."""

Checksums = Mapping[str, str]
"""sha256 by file name."""


class Fingerprint(FrozenModel):
    """Base of fingerprints that consist of named parts."""

    def differences(self, other: Fingerprint) -> list[str]:
        """Names of the parts that differ."""
        theirs = other.model_dump()
        return [name for name, digest in self.model_dump().items() if digest != theirs[name]]


class BaseFingerprint(Fingerprint):
    """What identifies a base model."""

    config: Digest
    """Of config.json."""
    weights: Digest
    """Of the names and checksums of all shards."""
    tokenizer: Digest
    """Of tokenizer.json, if there is one."""
    images: Digest
    """Of preprocessor_config.json, if there is one."""


class AdapterFingerprint(Fingerprint):
    """What identifies an adapter."""

    weights: Digest
    """Of adapter_model.safetensors."""
    settings: Digest
    """Of all that peft computes by in adapter_config.json: rank, alpha, scaling, target modules and the like."""


class QuantizedFrom(FrozenModel):
    """Content of quantized_from.json, beside a base that was stored in four bits by `mevlip checkpoint assemble`."""

    source: BaseFingerprint
    """The unquantized base that adapters were trained on."""
    stored: BaseFingerprint
    """The files that were made of it."""


def base_files(folder: Path) -> dict[str, str]:
    """Hashes the files of a base model's folder that its fingerprint depends on.

    Raises:
        OSError: One cannot be read.
    """
    wanted = (*_BASE_PARTS.values(), QUANTIZED_FROM_NAME)
    names = [path.name for path in folder.iterdir() if any(fnmatch(path.name, pattern) for pattern in wanted)]
    return {name: file_sha256(folder / name) for name in sorted(names)}


def base_fingerprint(folder: Path, files: Checksums) -> BaseFingerprint:
    """What identifies a base: its files or, where assembling stored them in four bits, those they were made of.

    Args:
        folder: The base model's folder.
        files: sha256 of its files by name; others are not looked at.

    Raises:
        CheckpointError: It has no config.json or no weights, or its quantized_from.json belongs to other files.
    """
    own = own_fingerprint(folder, files)
    if QUANTIZED_FROM_NAME not in files:
        return own
    path, remedy = folder / QUANTIZED_FROM_NAME, "Assemble the checkpoint again from the unquantized base."
    record = read_record(path, QuantizedFrom, "record of a quantized base", remedy)
    if different := record.stored.differences(own):
        raise CheckpointError(f"{path} belongs to other files: {' and '.join(different)} differ", remedy)
    return record.source


def own_fingerprint(folder: Path, files: Checksums) -> BaseFingerprint:
    """The fingerprint of a base model's files as they are.

    Raises:
        CheckpointError: It has no config.json or no weights.
    """
    parts = {part: [name for name in sorted(files) if fnmatch(name, found)] for part, found in _BASE_PARTS.items()}
    for part in ("config", "weights"):
        if not parts[part]:
            raise CheckpointError(
                f"The base model in {folder} has no {_BASE_PARTS[part]}", "Name its folder, or fetch it again."
            )
    return BaseFingerprint(**{part: _digest([name, files[name]] for name in names) for part, names in parts.items()})


def adapter_fingerprint(folder: Path, weights: str | None = None) -> AdapterFingerprint:
    """The fingerprint of an adapter's files.

    Args:
        folder: The adapter's folder.
        weights: sha256 of its weights, where it is known already.

    Raises:
        CheckpointError: A file is absent, or adapter_config.json is one that the predictor refuses.
    """
    settings = lora_settings(folder / CONFIG_NAME)
    path = folder / WEIGHTS_NAME
    try:
        return AdapterFingerprint(weights=weights or file_sha256(path), settings=_digest([settings]))
    except OSError as error:
        raise CheckpointError(
            f"adapter {folder.name!r}: {path} cannot be read ({error.strerror})", "Train or fetch this adapter again."
        ) from error


def _digest(content: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(content), sort_keys=True).encode()).hexdigest()
