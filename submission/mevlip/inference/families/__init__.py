"""Model families, one file each, named as the base's config.json names its model type.

A file here that defines `FAMILY` is a family: how its processor is loaded, and which options its image processor
gets. A base of any other type goes through transformers' AutoProcessor.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mevlip.inference.families.base import OFFLINE, Family

__all__ = ["Family", "find_family"]


def find_family(model_type: str) -> Family:
    """The family of a model type, such as `internvl`."""
    if model_type in {module.name for module in iter_modules(__path__)}:
        family: Family = import_module(f"{__name__}.{model_type}").FAMILY
        return family
    return Family(_auto_processor, lambda _: {}, _image_tokens)


def _auto_processor(folder: Any) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder, **OFFLINE)


def _image_tokens(processor: Any, size: tuple[int, int], options: dict[str, Any]) -> int:
    width, height = size
    counted = processor._get_num_multimodal_tokens(image_sizes=[(height, width)], **options)
    [tokens] = counted["num_image_tokens"]
    return int(tokens)
