"""What a recipe leaves in a prepared folder for training: an overlay per adapter, and its name and hash."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mevlip_training.recipes.reading import RecipeFile

PREPARED_NAME = "prepared.json"
"""The record of a prepared folder, beside its rows."""
_FOLDER = "overlays"


def overlay_path(data: Path, adapter: str) -> Path:
    """Where an adapter's overlay lies in a prepared folder, if it has one."""
    return data / _FOLDER / f"{adapter}.yaml"


def write_overlays(data: Path, recipe: RecipeFile, adapters: Iterable[str]) -> None:
    """Writes the overlay of each adapter for which the recipe changes something in training.

    `adapter_name_or_path` is the adapter's name in it: `mevlip train adapters` knows where its run is.
    """
    import yaml

    for adapter in adapters:
        if settings := recipe.recipe.overlay(adapter):
            path = overlay_path(data, adapter)
            path.parent.mkdir(exist_ok=True)
            header = f"# What the recipe {recipe.name} (sha256 {recipe.sha256}) changes in {adapter}.yaml\n"
            path.write_text(header + yaml.safe_dump(settings), "utf-8")


def provenance(recipe: RecipeFile) -> dict[str, str]:
    """The recipe's name and hash, as the record of a prepared folder has them."""
    return {"name": recipe.name, "sha256": recipe.sha256}


def recipe_of(data: Path) -> dict[str, Any] | None:
    """Name and hash of the recipe that a prepared folder was made by; None where none was."""
    path = data / PREPARED_NAME
    found: dict[str, Any] | None = json.loads(path.read_bytes()).get("recipe") if path.is_file() else None
    return found
