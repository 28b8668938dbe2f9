"""Turning prompts and images into model inputs; all that is one model family's own lives here.

Without torchvision transformers' AutoProcessor refuses InternVL for the sake of its video part, so InternVL gets a
processor of image and text alone, on the Pillow image backend. Other families go through AutoProcessor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.images import fit_pixel_budget
from mevlip.inference.prompts import Prompt

if TYPE_CHECKING:
    from PIL import Image

_OFFLINE = {"local_files_only": True, "trust_remote_code": False}


class PromptEncoder:
    """A model's tokenizer and image processor behind one call.

    Attributes:
        family: The model type named in the base's config.json, such as `internvl`.
        processor: The transformers processor.
    """

    def __init__(self, family: str, folder: Path) -> None:
        self.family = family
        self.processor: Any = _internvl_processor(folder) if family == "internvl" else _auto_processor(folder)
        # Rows of a batch end together, so that the next token of each stands in the last column.
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @property
    def tokenizer(self) -> Any:
        """The text tokenizer."""
        return self.processor.tokenizer

    @property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens, wherever they stand."""
        return reserved_tokens(self.tokenizer)

    def render(self, prompt: Prompt) -> str:
        """The prompt in the model's own chat template, image place-holders not yet expanded."""
        text: str = self.processor.apply_chat_template(prompt.messages(), tokenize=False, add_generation_prompt=True)
        return text

    def encode(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image.Image]], settings: ImageSettings
    ) -> Any:
        """Encodes a batch.

        Args:
            prompts: One prompt per row.
            images: The images of each row, 8-bit RGB.
            settings: The route's image settings.

        Returns:
            A BatchFeature: `input_ids` and `attention_mask` (rows, length), and for InternVL `pixel_values`
            (tiles, 3, height, width).
        """
        fitted = [fit_pixel_budget(one, settings.min_pixels, settings.max_pixels) for row in images for one in row]
        options: dict[str, Any] = {"text": [self.render(prompt) for prompt in prompts], "images": fitted or None}
        if self.family == "internvl":
            # The processor's default differs from LLaMA-Factory's, so tiling is never left to a default.
            options |= {"crop_to_patches": settings.crop_to_patches, "max_patches": settings.max_patches}
        return self.processor(**options, padding=True, return_tensors="pt")


def reserved_tokens(tokenizer: Any) -> frozenset[str]:
    """Strings that a tokenizer turns into special tokens, wherever they stand."""
    return frozenset(tokenizer.get_added_vocab()) | frozenset(tokenizer.all_special_tokens)


def _auto_processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder, **_OFFLINE)


def _internvl_processor(folder: Path) -> Any:
    from transformers import AutoTokenizer
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
    from transformers.models.internvl.processing_internvl import InternVLProcessor
    from transformers.processing_utils import ProcessorMixin

    class InternVLImageProcessor(InternVLProcessor):  # type: ignore[misc]  # transformers is untyped to us
        """InternVL's processor without its video part."""

        def __init__(self, image_processor: Any, tokenizer: Any, image_seq_length: int, chat_template: str) -> None:
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
            self.image_seq_length = image_seq_length
            self.start_image_token = tokenizer.start_image_token
            self.end_image_token = tokenizer.end_image_token
            self.start_image_token_id = tokenizer.start_image_token_id
            self.end_image_token_id = tokenizer.end_image_token_id
            self.image_token = tokenizer.context_image_token
            self.image_token_id = tokenizer.context_image_token_id
            self.video_token = tokenizer.video_token
            self.image_ids = [self.image_token_id, self.start_image_token_id, self.end_image_token_id]

        @classmethod
        def get_attributes(cls) -> list[str]:
            """The two parts that there are."""
            return ["image_processor", "tokenizer"]

    settings, _ = InternVLImageProcessor.get_processor_dict(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, **_OFFLINE)
    image_processor = GotOcr2ImageProcessorPil.from_pretrained(folder, local_files_only=True)
    template = settings.get("chat_template") or tokenizer.chat_template
    return InternVLImageProcessor(image_processor, tokenizer, settings["image_seq_length"], template)
