"""Model families, one file each, named as the base's config.json names its model type.

A file here that defines `FAMILY` is a family: how its processor is loaded, how it is asked, what of pictures reaches
the language model and how that attends. Of a base of any other type only prompts can be rendered.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NoReturn

from mevlip.checkpoints.records import RECORD_LIMIT
from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.errors import CheckpointError
from mevlip.core.files import read_bounded
from mevlip.inference.families.base import OFFLINE, Family, Size

__all__ = ["Family", "Size", "base_family", "base_type", "families", "find_family"]

ORIGINAL_INTERNVL = "internvl_chat"
"""The model type of InternVL's original layout, which transformers reads only with code from the model's folder."""


def families() -> list[str]:
    """The model types that can be predicted with."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "base")


def find_family(model_type: str) -> Family:
    """The family of a model type, such as `internvl`."""
    if model_type in families():
        family: Family = import_module(f"{__name__}.{model_type}").FAMILY
        return family
    return _Unknown(model_type)


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
    """The family of a base in a folder; None where its model type is not known.

    Raises:
        CheckpointError: The base has InternVL's original layout.
    """
    model_type = base_type(folder)
    if model_type == ORIGINAL_INTERNVL:
        raise CheckpointError(
            f"{folder} has InternVL's original layout, which needs code from its folder",
            f"Convert it once: mevlip checkpoint convert {folder} NEW.",
        )
    return find_family(model_type) if model_type is not None else None


class _Unknown(Family):
    """A family that has no file."""

    def __init__(self, model_type: str) -> None:
        self._model_type = model_type
        for name in ("image_options", "tiles", "levels", "inputs", "features"):
            setattr(self, name, self._refuse)

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoProcessor

        return AutoProcessor.from_pretrained(folder, **OFFLINE)

    def mark(self, processor: Any) -> str:
        return str(getattr(processor, "boi_token", None) or getattr(processor, "image_token", ""))

    def image_text(self, processor: Any, size: Size) -> NoReturn:
        self._refuse()

    def image_ids(self, processor: Any) -> tuple[int, ...]:
        return ()

    def largest(self, processor: Any, settings: ImageSettings) -> NoReturn:
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise CheckpointError(
            f"A base of model type {self._model_type!r} cannot be predicted with",
            f"Use a base of one of these types: {', '.join(families())}.",
        )
