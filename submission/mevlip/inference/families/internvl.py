"""InternVL.

Without torchvision transformers' AutoProcessor refuses InternVL for the sake of its video part, so it gets a
processor of image and text alone, on the Pillow image backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.families.base import OFFLINE, Family


def _image_options(settings: ImageSettings) -> dict[str, Any]:
    # The processor's default differs from LLaMA-Factory's, so tiling is never left to a default.
    return {"crop_to_patches": settings.crop_to_patches, "max_patches": settings.max_patches}


def _image_tokens(processor: Any, size: tuple[int, int], options: dict[str, Any]) -> int:
    width, height = size
    tiles: int = processor.image_processor.get_number_of_image_patches(height, width, options)
    return tiles * int(processor.image_seq_length) + 2  # and a mark at each end


def _load_processor(folder: Path) -> Any:
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


FAMILY = Family(_load_processor, _image_options, _image_tokens)
