"""Which family a base model is of, and what LLaMA-Factory has to be told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mevlip.checkpoints.records import RECORD_LIMIT
from mevlip.core.files import read_bounded
from mevlip.inference.families import Family, find_family
from mevlip.inference.prompts import IMAGE_PLACE

DEFAULT = "internvl"
"""The family of the published configs' base."""


def base_type(folder: Path | None) -> str | None:
    """The model type of a base in a folder; None where the folder has no readable config.json that names one."""
    if folder is None:
        return None
    try:
        config = json.loads(read_bounded(folder / "config.json", RECORD_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None
    model_type = config.get("model_type") if isinstance(config, dict) else None
    return model_type if isinstance(model_type, str) else None


def base_family(folder: Path | None) -> Family | None:
    """The family of a base in a folder; None where its model type is not known."""
    model_type = base_type(folder)
    return find_family(model_type) if model_type is not None else None


def misfits(family: Family, settings: dict[str, Any], rows: Iterable[bytes]) -> Iterator[str]:
    """In what a config or its rows are for a base of another family.

    Args:
        family: The base's family.
        settings: The config.
        rows: Lines of the training data; the first one with an image is looked at.
    """
    if family.template and settings.get("template") != family.template:
        yield f"template is {settings.get('template')!r} here and {family.template!r} for this base"
    for row in rows:
        turns = json.loads(row).get("conversations") or [{}]
        before, image, after = str(turns[0].get("value", "")).partition(IMAGE_PLACE)
        if image and not before:
            if after.startswith("\n") != (family.image_gap == "\n"):
                yield "the rows' images are followed by what another base's chat template writes there"
            return
