"""The base model that adapters are trained on: where its files are, and what identifies them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.fingerprints import BaseFingerprint, base_files, base_fingerprint
from mevlip.core.errors import CheckpointError
from mevlip.inference.families.base import OFFLINE


def identify_base(name: str, revision: str) -> BaseFingerprint | None:
    """Hashes the base model that runs are trained on.

    Args:
        name: Its folder, or its name on the hub; then the hub's cache on this machine is looked into.
        revision: Its revision on the hub.

    Returns:
        None where the cache does not hold its files.

    Raises:
        CheckpointError: The folder does not hold a base model, or cannot be read.
    """
    folder = Path(name)
    is_local = folder.is_dir()
    if not is_local:
        cached = find_cached(name, revision)
        if cached is None:
            return None
        folder = cached
    try:
        return base_fingerprint(folder, base_files(folder))
    except OSError as error:
        raise CheckpointError(
            f"{error.filename} cannot be read ({error.strerror})", "Name the base's folder."
        ) from error
    except CheckpointError:
        if is_local:
            raise
        return None  # a cache may hold a part of it


def find_cached(name: str, revision: str) -> Path | None:
    """A base's folder in the hub's cache on this machine; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def base_folder(settings: Mapping[str, Any]) -> Path | None:
    """The folder of a config's base: its own, or in the hub's cache; None where it is not on this machine."""
    name, revision = str(settings["model_name_or_path"]), str(settings.get("model_revision", "main"))
    return Path(name) if Path(name).is_dir() else find_cached(name, revision)


def shape_misfit(adapter: Path, base: Path) -> str | None:
    """In what an adapter cannot have been trained on a base, as far as names and shapes of its matrices tell.

    Args:
        adapter: The adapter's folder.
        base: The base's folder, of which only config.json is read.

    Returns:
        The first matrix that does not fit; None where all do.

    Raises:
        CheckpointError: A file cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(base, **OFFLINE)
            model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
        linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
        with safe_open(adapter / WEIGHTS_NAME, framework="pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{adapter} cannot be compared with {base} ({type(error).__name__})", "Fetch or train both again."
        ) from error
    for key, shape in sorted(shapes.items()):
        name, _, part = key.removeprefix("base_model.model.").partition(".lora_")
        side = {"A.weight": 1, "B.weight": 0}.get(part)
        if name not in linear:
            return f"{name} is no linear layer of this base"
        if side is not None and shape[side] != (there := linear[name].weight.shape[side]):
            return f"{name} is {shape[side]} {'wide' if side else 'high'} there and {there} in this base"
    return None
