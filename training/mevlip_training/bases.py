"""The base model that adapters are trained on: where its files are, and what identifies them."""

from __future__ import annotations

from pathlib import Path

from mevlip.checkpoints.fingerprints import BaseFingerprint, base_files, base_fingerprint
from mevlip.core.errors import CheckpointError


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
