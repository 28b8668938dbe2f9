"""InternVL.

Without torchvision transformers' AutoProcessor refuses InternVL for the sake of its video part, so it gets a
processor of image and text alone, on the Pillow image backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.families.base import OFFLINE, Family

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


def _image_options(settings: ImageSettings) -> dict[str, Any]:
    # The processor's default differs from LLaMA-Factory's, so tiling is never left to a default.
    return {"crop_to_patches": settings.crop_to_patches, "max_patches": settings.max_patches}


def _tiles(processor: Any, image: Image.Image, options: dict[str, Any]) -> NDArray[np.uint8]:
    import numpy as np

    made = processor.image_processor(images=[image], do_rescale=False, do_normalize=False, **options)
    return np.stack(made["pixel_values"]).astype(np.uint8, copy=False)


def _levels(processor: Any) -> NDArray[np.float32]:
    import numpy as np

    images = processor.image_processor
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
    levels = images.normalize(images.rescale(ramp, images.rescale_factor), images.image_mean, images.image_std)
    return np.asarray(levels, dtype=np.float32).reshape(3, 256)


def _image_text(processor: Any, tiles: int) -> str:
    tokens = processor.image_token * (int(processor.image_seq_length) * tiles)
    return f"{processor.start_image_token}{tokens}{processor.end_image_token}"


def _most_tiles(_processor: Any, options: dict[str, Any]) -> int:
    # A tiled image has a picture of the whole in front.
    return int(options["max_patches"]) + 1 if options["crop_to_patches"] else 1


def _features(base: Any, pixels: Any) -> Any:
    return base.get_image_features(pixel_values=pixels).pooler_output


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


FAMILY = Family(_load_processor, _image_options, _tiles, _levels, _image_text, _most_tiles, _features)
