"""Qwen2.5-VL: a picture keeps its shape and takes a token for every 28 x 28 pixels, each with a place in its grid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.families.base import OFFLINE, Family, Size

if TYPE_CHECKING:
    import torch
    from PIL import Image

_LEAST_SIDE = 28
_MOST_RATIO, _RATIO = 200, 180
_SYSTEM_TURN = re.compile(r"\A<\|im_start\|>system\n.*?<\|im_end\|>\n", re.DOTALL)


class _Qwen25VL(Family):
    """What it shares with Qwen3-VL, too."""

    template = "qwen2_vl"
    kinds_argument = "mm_token_type_ids"

    def load_processor(self, folder: Path) -> Any:
        from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

        return load_without_video(Qwen2_5_VLProcessor, folder)

    def prepare(self, image: Image.Image) -> Image.Image:
        for size in _steps(*image.size):
            image = image.resize(size)
        return image

    def as_trained(self, text: str, system: str) -> str:
        # Its chat template inserts a default system turn; training, with `default_system: ""`, does not.
        return text if system else _SYSTEM_TURN.sub("", text, count=1)

    def tiles(self, processor: Any, image: Image.Image, options: Mapping[str, Any]) -> NDArray[np.uint8]:
        images = processor.image_processor
        made = images(images=[image], do_rescale=False, do_normalize=False, **options)
        [[_, high, wide]], patch, merge = made["image_grid_thw"], images.patch_size, images.merge_size
        # A still image is its own next frame; it goes to the device once, and as it is seen.
        patches = np.asarray(made["pixel_values"], dtype=np.uint8).reshape(
            high // merge, wide // merge, merge, merge, 3, images.temporal_patch_size, patch, patch
        )[..., 0, :, :]
        return patches.transpose(4, 0, 2, 5, 1, 3, 6).reshape(1, 3, high * patch, wide * patch)

    def image_text(self, processor: Any, size: Size) -> str:
        rows, columns = self._grid(processor, size)
        return str(processor.image_token) * (rows * columns)  # the chat template writes what stands around it

    def image_ids(self, processor: Any) -> list[int]:
        names = ["<|vision_start|>", processor.image_token, "<|vision_end|>"]
        return [int(one) for one in processor.tokenizer.convert_tokens_to_ids(names)]

    def largest(self, processor: Any, settings: ImageSettings) -> Size:
        widths = range(1, isqrt(settings.max_pixels) + 1)
        sizes = (self._resized(processor, width, settings.max_pixels // width) for width in widths)
        width, height = max(sizes, key=lambda size: size[0] * size[1])
        return 1, 3, height, width

    def positions(self, processor: Any, tokens: NDArray[np.int64], sizes: Sequence[Size]) -> NDArray[np.int64]:
        made = np.tile(np.arange(len(tokens)), (3, 1))
        image = tokens == processor.image_token_id
        starts = np.flatnonzero(image & ~np.concatenate([[False], image[:-1]]))
        for start, size in zip(starts, sizes, strict=True):
            rows, columns = self._grid(processor, size)
            end, first = start + rows * columns, made[0, start]
            made[:, start:end] = first  # one moment
            made[1, start:end] += np.repeat(np.arange(rows), columns)
            made[2, start:end] += np.tile(np.arange(columns), rows)
            made[:, end:] = first + max(rows, columns) + np.arange(len(tokens) - end)
        return made

    def inputs(self, processor: Any, pixels: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        import torch

        images = processor.image_processor
        patch, merge = images.patch_size, images.merge_size
        patches, grids = [], []
        for same in pixels:
            count, _, height, width = same.shape
            high, wide = height // patch, width // patch
            grids += [[1, high, wide]] * count
            cut = same.reshape(count, 3, high // merge, merge, patch, wide // merge, merge, patch)
            still = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
            patches.append(still.expand(*[-1] * 6, images.temporal_patch_size, -1, -1).reshape(count * high * wide, -1))
        grid = torch.tensor(grids).to(pixels[0].device, non_blocking=True)
        return {"pixel_values": torch.cat(patches), "image_grid_thw": grid}

    def patch_numbers(self, config: Any) -> int:
        # Queries and keys are turned in 32 bits; the feed-forward part has a third product.
        return int(12 * config.hidden_size + 3 * config.intermediate_size)

    def _grid(self, processor: Any, size: Size) -> tuple[int, int]:
        """Rows and columns of an image's tokens."""
        side = processor.image_processor.patch_size * processor.image_processor.merge_size
        return size[2] // side, size[3] // side

    def _resized(self, processor: Any, width: int, height: int) -> tuple[int, int]:
        """Width and height that the vision tower sees of an image."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        images = processor.image_processor
        width, height = [(width, height), *_steps(width, height)][-1]
        high, wide = smart_resize(
            height, width, images.patch_size * images.merge_size, images.size.shortest_edge, images.size.longest_edge
        )
        return wide, high


def load_without_video(processor_class: Any, folder: Path) -> Any:
    """Loads a Qwen-VL processor without its video part, which needs torchvision, on the Pillow image backend."""
    from transformers import AutoTokenizer
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    class ImageProcessor(processor_class):  # type: ignore[misc]  # transformers is untyped to us
        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

    settings, _ = ImageProcessor.get_processor_dict(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, **OFFLINE)
    images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return ImageProcessor(images, tokenizer, chat_template=settings.get("chat_template") or tokenizer.chat_template)


def _steps(width: int, height: int) -> Iterator[tuple[int, int]]:
    """To which sizes LLaMA-Factory resizes an image, one after the other, that is too small or too long."""
    if min(width, height) < _LEAST_SIDE:
        width, height = max(width, _LEAST_SIDE), max(height, _LEAST_SIDE)
        yield width, height
    if width / height > _MOST_RATIO:
        width = height * _RATIO
        yield width, height
    if height / width > _MOST_RATIO:
        height = width * _RATIO
        yield width, height


FAMILY = _Qwen25VL()
