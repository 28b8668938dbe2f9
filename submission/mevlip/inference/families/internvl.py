"""InternVL.

Without torchvision transformers' AutoProcessor refuses InternVL for the sake of its video part, so it gets a
processor of image and text alone, on the Pillow image backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.families.base import OFFLINE, Family, Size


class _InternVL(Family):
    """InternVL: tiles of one size, each as many tokens."""

    template = "intern_vl"
    image_gap = "\n"
    keeps_tiles = True

    def load_processor(self, folder: Path) -> Any:
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
        tokenizer = AutoTokenizer.from_pretrained(folder, **OFFLINE)
        image_processor = GotOcr2ImageProcessorPil.from_pretrained(folder, local_files_only=True)
        template = settings.get("chat_template") or tokenizer.chat_template
        return InternVLImageProcessor(image_processor, tokenizer, settings["image_seq_length"], template)

    def image_options(self, settings: ImageSettings) -> dict[str, Any]:
        # The processor's default differs from LLaMA-Factory's, so tiling is never left to a default.
        return {"crop_to_patches": settings.crop_to_patches, "max_patches": settings.max_patches}

    def image_text(self, processor: Any, size: Size) -> str:
        tokens = processor.image_token * (int(processor.image_seq_length) * size[0])
        return f"{processor.start_image_token}{tokens}{processor.end_image_token}"

    def image_ids(self, processor: Any) -> list[int]:
        return list(processor.image_ids)

    def largest(self, processor: Any, settings: ImageSettings) -> Size:
        # A tiled image has a picture of the whole in front.
        tiles = settings.max_patches + 1 if settings.crop_to_patches else 1
        side = processor.image_processor.size
        return tiles, 3, int(side["height"]), int(side["width"])


FAMILY = _InternVL()
