"""Turning prompts and images into model inputs; what is one model family's own is in `mevlip.inference.families`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.chat_template import Frame, read_frame
from mevlip.inference.completion import Encoded, Picture
from mevlip.inference.families import Size, find_family
from mevlip.inference.prompts import Prompt

if TYPE_CHECKING:
    from PIL import Image


class PromptEncoder:
    """A model's tokenizer and image processor behind one call.

    Args:
        family: The model type named in the base's config.json, such as `internvl`.
        folder: The base model's folder.

    Attributes:
        family: The model family.
        processor: The transformers processor.
    """

    def __init__(self, family: str, folder: Path) -> None:
        self.family = find_family(family)
        self._folder = folder
        self._frames: dict[tuple[str, int, str, str], Frame] = {}
        self._image_tokens: dict[ImageSettings, int] = {}
        self.processor: Any = self.family.load_processor(folder)
        # Rows of a batch end together, so that the next token of each stands in the last column.
        self.tokenizer.padding_side = "left"
        self._mark = self.family.mark(self.processor)
        self._image_ids = frozenset(self.family.image_ids(self.processor))
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @property
    def tokenizer(self) -> Any:
        """The text tokenizer."""
        return self.processor.tokenizer

    @cached_property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens, wherever they stand."""
        return reserved_tokens(self.tokenizer)

    def render(self, prompt: Prompt) -> str:
        """The prompt in the model's own chat template, image place-holders not yet expanded.

        Raises:
            CheckpointError: The chat template cannot be used.
        """
        kind = (prompt.system, prompt.image_count, prompt.image_mark, prompt.preset)
        if kind not in self._frames:
            marks = [self._mark] if self._mark else []
            self._frames[kind] = read_frame(self._run_template, prompt, self._folder, marks)
        frame = self._frames[kind]
        return f"{frame.before}{prompt.text}{frame.after}"

    def _run_template(self, prompt: Prompt) -> str:
        text: str = self.processor.apply_chat_template(prompt.messages(), tokenize=False, add_generation_prompt=True)
        return self.family.as_trained(text, prompt.system)

    def picture(self, image: Image.Image, settings: ImageSettings) -> Picture:
        """Prepares an image, 8-bit RGB, within the settings' pixel budget."""
        prepared = self.family.prepare(image)
        tiles = self.family.tiles(self.processor, prepared, self.family.image_options(settings))
        digest = blake2b(str(tiles.shape).encode(), digest_size=16)
        digest.update(tiles.tobytes())
        return Picture.of(digest.hexdigest(), tiles)

    def image_tokens(self, settings: ImageSettings) -> int:
        """Most tokens of an image."""
        if settings not in self._image_tokens:
            size = self.family.largest(self.processor, settings)
            self._image_tokens[settings] = len(self._tokens_of(self.family.image_text(self.processor, size)))
        return self._image_tokens[settings]

    def encode_prompt(self, prompt: Prompt, pictures: Sequence[Picture]) -> Encoded:
        """Encodes one prompt, in the tokens that `encode` would give."""
        import numpy as np

        before, *rest = self.render(prompt).split(self._mark)
        text = before + "".join(
            self.family.image_text(self.processor, picture.size) + part
            for picture, part in zip(pictures, rest, strict=True)
        )
        tokens = tuple(self._tokens_of(text))
        last = max((place for place, token in enumerate(tokens) if token in self._image_ids), default=-1)
        positions = self.family.positions(self.processor, np.array(tokens), [picture.size for picture in pictures])
        return Encoded(tokens, last + 1, positions)

    def count_tokens(self, prompt: Prompt, sizes: Sequence[Size]) -> int:
        """How many tokens `encode_prompt` would give, from the sizes of its pictures."""
        token = str(self.processor.image_token)
        texts = [self.family.image_text(self.processor, size) for size in sizes]
        # The tokens of one picture are all the same: they need not be written out to be counted.
        folded = [re.sub(f"(?:{re.escape(token)})+", lambda _: token, text) for text in texts]
        before, *rest = self.render(prompt).split(self._mark)
        shown = before + "".join(text + part for text, part in zip(folded, rest, strict=True))
        left_out = sum(len(text) for text in texts) - sum(len(text) for text in folded)
        return len(self._tokens_of(shown)) + left_out // len(token)

    def _tokens_of(self, text: str) -> list[int]:
        # The chat template has written all special tokens, the one of a beginning included.
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image.Image]], settings: ImageSettings
    ) -> Any:
        """Encodes a batch as the processor does; training sees the same.

        Args:
            prompts: One prompt per row.
            images: The images of each row, 8-bit RGB, within the settings' pixel budget.
            settings: The route's image settings.

        Returns:
            A BatchFeature: `input_ids` and `attention_mask` (rows, length), and what `Family.inputs` gives.
        """
        shown = [[self.family.prepare(image) for image in row] for row in images]
        return self.processor(
            text=[self.render(prompt) for prompt in prompts],
            # Gemma's processor wants to know whose each image is; others refuse to be told of rows that have none.
            images=shown if all(shown) else [image for row in shown for image in row] or None,
            **self.family.image_options(settings),
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        )


def reserved_tokens(tokenizer: Any) -> frozenset[str]:
    """Strings that a tokenizer turns into special tokens, wherever they stand."""
    return frozenset(tokenizer.get_added_vocab()) | frozenset(tokenizer.all_special_tokens)
