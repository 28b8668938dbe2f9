"""Gemma 3, MedGemma-4B among it: an image takes the same number of tokens whatever its shape; they see each other.

Pan-and-scan, which cuts long images, is off, as in LLaMA-Factory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.families.base import OFFLINE, Family, Size


class _Gemma3(Family):
    template = "gemma3"
    mutual = True
    kinds_argument = "token_type_ids"

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoTokenizer
        from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
        from transformers.models.gemma3.processing_gemma3 import Gemma3Processor

        settings, _ = Gemma3Processor.get_processor_dict(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, **OFFLINE)
        images = Gemma3ImageProcessorPil.from_pretrained(folder, local_files_only=True)
        template = settings.get("chat_template") or tokenizer.chat_template
        return Gemma3Processor(images, tokenizer, template, settings["image_seq_length"])

    def image_options(self, settings: ImageSettings) -> dict[str, Any]:
        return {"do_pan_and_scan": False}

    def mark(self, processor: Any) -> str:
        return str(processor.boi_token)

    def image_text(self, processor: Any, size: Size) -> str:
        return str(processor.full_image_sequence)

    def image_ids(self, processor: Any) -> list[int]:
        names = [processor.boi_token, processor.image_token, processor.tokenizer.eoi_token]
        return [int(one) for one in processor.tokenizer.convert_tokens_to_ids(names)]

    def largest(self, processor: Any, settings: ImageSettings) -> Size:
        side = processor.image_processor.size
        return 1, 3, int(side["height"]), int(side["width"])


FAMILY = _Gemma3()
