"""Model families, one file each, named as the base's config.json names its model type.

A file here that defines `FAMILY` is a family: how its processor is loaded, how it is asked, what of pictures reaches
the language model and how that attends. Of a base of any other type only prompts can be rendered.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NoReturn

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.errors import CheckpointError
from mevlip.inference.families.base import OFFLINE, Family, Size

__all__ = ["Family", "Size", "families", "find_family"]


def families() -> list[str]:
    """The model types that can be predicted with."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "base")


def find_family(model_type: str) -> Family:
    """The family of a model type, such as `internvl`."""
    if model_type in families():
        family: Family = import_module(f"{__name__}.{model_type}").FAMILY
        return family
    return _Unknown(model_type)


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
