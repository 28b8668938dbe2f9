"""What a model family is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mevlip.checkpoints.routes import ImageSettings

OFFLINE = MappingProxyType({"local_files_only": True, "trust_remote_code": False})
"""How every tokenizer and processor is loaded."""


@dataclass(frozen=True)
class Family:
    """What is one model family's own.

    Attributes:
        load_processor: Loads the transformers processor from the base's folder.
        image_options: Arguments of the processor for a route's image settings.
        image_tokens: Tokens that the processor puts in place of an image's place-holder, which is one token: from the
            processor, the image's width and height, and those arguments.
    """

    load_processor: Callable[[Path], Any]
    image_options: Callable[[ImageSettings], dict[str, Any]]
    image_tokens: Callable[[Any, tuple[int, int], dict[str, Any]], int]
