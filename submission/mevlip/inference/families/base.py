"""What a model family is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.routes import ImageSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

OFFLINE = MappingProxyType({"local_files_only": True, "trust_remote_code": False})
"""How every tokenizer and processor is loaded."""


@dataclass(frozen=True)
class Family:
    """What is one model family's own.

    Attributes:
        load_processor: Loads the transformers processor from the base's folder.
        image_options: Arguments of the processor for a route's image settings.
        tiles: The pixels that the vision tower sees of an image, before they are normalized: from the processor, the
            image and those arguments, (tiles, 3, height, width).
        levels: What normalizing makes of each level of each channel, (3, 256).
        image_text: What stands in a prompt for an image of so many tiles, in place of its place-holder.
        most_tiles: Most tiles of an image, from the processor and the arguments.
        features: What the language model gets in place of the tokens of tiles: from the transformers model and
            normalized pixels, (tiles, tokens, hidden size).
    """

    load_processor: Callable[[Path], Any]
    image_options: Callable[[ImageSettings], dict[str, Any]]
    tiles: Callable[[Any, Image.Image, dict[str, Any]], NDArray[np.uint8]]
    levels: Callable[[Any], NDArray[np.float32]]
    image_text: Callable[[Any, int], str]
    most_tiles: Callable[[Any, dict[str, Any]], int]
    features: Callable[[Any, Any], Any]
