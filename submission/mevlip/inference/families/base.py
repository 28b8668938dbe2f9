"""What a model family is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.routes import ImageSettings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

OFFLINE = MappingProxyType({"local_files_only": True, "trust_remote_code": False})
"""How every tokenizer and processor is loaded."""

Size = tuple[int, int, int, int]
"""A picture as the vision tower gets it: tiles, channels, height and width of each."""


class Family(ABC):
    """What is one model family's own.

    The defaults are what most families do: all tiles of a picture have one size, position ids count from 0, attention
    is causal, and transformers' own `get_image_features` gives what takes the place of image tokens.

    Attributes:
        template: Name of LLaMA-Factory's template for it.
        image_gap: What its chat template writes between an image and what follows; LLaMA-Factory writes nothing.
        mutual: Whether tokens of one image look at each other, later ones too.
        stateful: Whether layers carry a state from token to token. A line of several questions would mix them, so each
            is asked alone.
        keeps_tiles: Whether a picture that is one tile already comes out of `tiles` as it went in, so that pixels that
            were changed where the vision tower gets them can be shown as a picture.
        kinds_argument: The argument of transformers' model that says which tokens are an image's; empty for none.
    """

    template = ""
    image_gap = ""
    mutual = False
    stateful = False
    keeps_tiles = False
    kinds_argument = ""

    @abstractmethod
    def load_processor(self, folder: Path) -> Any:
        """Loads the transformers processor from the base's folder."""

    def image_options(self, settings: ImageSettings) -> dict[str, Any]:
        """Arguments of the processor for a route's image settings."""
        return {}

    def as_trained(self, text: str, system: str) -> str:
        """A prompt as LLaMA-Factory writes it, from how the chat template does.

        Args:
            text: What the chat template wrote.
            system: The text of the system turn; empty for no such turn.
        """
        return text

    def prepare(self, image: Image.Image) -> Image.Image:
        """What LLaMA-Factory does with an image, within the settings' pixel budget, before the processor gets it."""
        return image

    def tiles(self, processor: Any, image: Image.Image, options: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The pixels that the vision tower sees of a prepared image, before they are normalized.

        Args:
            processor: The processor.
            image: The image.
            options: The processor's arguments.

        Returns:
            The tiles, (tiles, 3, height, width).
        """
        import numpy as np

        made = processor.image_processor(images=[image], do_rescale=False, do_normalize=False, **options)
        return np.stack(made["pixel_values"]).astype(np.uint8, copy=False)

    def levels(self, processor: Any) -> NDArray[np.float32]:
        """What normalizing makes of each level of each channel, (3, 256)."""
        import numpy as np

        images = processor.image_processor
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
        levels = images.normalize(images.rescale(ramp, images.rescale_factor), images.image_mean, images.image_std)
        return np.asarray(levels, dtype=np.float32).reshape(3, 256)

    def mark(self, processor: Any) -> str:
        """What the chat template writes for an image."""
        return str(processor.image_token)

    @abstractmethod
    def image_text(self, processor: Any, size: Size) -> str:
        """What stands in a prompt in place of that, for an image of a size."""

    @abstractmethod
    def image_ids(self, processor: Any) -> Collection[int]:
        """Ids of the special tokens that this text has."""

    @abstractmethod
    def largest(self, processor: Any, settings: ImageSettings) -> Size:
        """The size of the image that takes most tokens under a route's settings."""

    def positions(self, processor: Any, tokens: NDArray[np.int64], sizes: Sequence[Size]) -> NDArray[np.int64] | None:
        """Position ids of a prompt's tokens; each generated token gets one more than the highest id before it.

        Args:
            processor: The processor.
            tokens: The prompt's tokens.
            sizes: Its images.

        Returns:
            The ids, (axes, tokens); None for 0, 1, 2, and so on.
        """
        return None

    def inputs(self, processor: Any, pixels: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Arguments of transformers' model for images.

        Args:
            processor: The processor.
            pixels: Normalized tiles of one size each after the other, (tiles, 3, height, width); two that stand
                together have different sizes.
        """
        [same] = pixels
        return {"pixel_values": same}

    def features(self, base: Any, inputs: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """What the language model gets in place of image tokens, (tokens, numbers) for each tile; see `enter`.

        Args:
            base: The transformers model.
            inputs: What `inputs` gave.
        """
        return base.get_image_features(**inputs).pooler_output  # type: ignore[no-any-return]

    def enter(self, states: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> dict[str, Any]:
        """Puts features where the language model gets them.

        Args:
            states: Embedded tokens, (tokens, hidden size); changed.
            places: Which of them are an image's.
            features: What `features` gave for these, one after the other.

        Returns:
            Further arguments of the language model.
        """
        states[places] = features.to(states.dtype)
        return {}

    def patch_numbers(self, config: Any) -> int:
        """Numbers that a patch takes in a layer of the vision tower: its states and products.

        Args:
            config: The vision tower's configuration.
        """
        return int(6 * config.hidden_size + 2 * config.intermediate_size)
