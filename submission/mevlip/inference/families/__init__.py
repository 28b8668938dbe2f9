"""Model families, one file each, named as the base's config.json names its model type.

A file here that defines `FAMILY` is a family: how its processor is loaded, and which options its image processor
gets, and what of pictures reaches the language model. Of a base of any other type only prompts can be rendered.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mevlip.core.errors import CheckpointError
from mevlip.inference.families.base import OFFLINE, Family

__all__ = ["Family", "find_family"]


def find_family(model_type: str) -> Family:
    """The family of a model type, such as `internvl`."""
    if model_type in {module.name for module in iter_modules(__path__)}:
        family: Family = import_module(f"{__name__}.{model_type}").FAMILY
        return family
    return Family(_auto_processor, lambda _: {}, *[_refuse(model_type)] * 5)


def _auto_processor(folder: Any) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder, **OFFLINE)


def _refuse(model_type: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise CheckpointError(
            f"A base of model type {model_type!r} cannot be predicted with",
            "Use a base of one of these types: "
            + ", ".join(sorted(module.name for module in iter_modules(__path__) if module.name != "base"))
            + ".",
        )

    return refuse
