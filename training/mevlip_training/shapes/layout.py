"""The files of an InternVL3 base model besides its weights, in the layout in which the real one lies on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|im_end|>"
PAD = "<|endoftext|>"
IMAGE = "<IMG_CONTEXT>"
MEDIA_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": IMAGE,
    "video_token": "<video>",
}

# Qwen2's way of cutting text before byte-level merges: every digit stands alone.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for block in turn['content'] %}"
    "{% if block['type'] == 'image' %}<IMG_CONTEXT>\n{% elif block['type'] == 'text' %}{{ block['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level_tokenizer(model: Any) -> Tokenizer:
    """A tokenizer that cuts text as Qwen2's does, around a BPE model that may still have to be trained."""
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes a tokenizer and the chat template; its tokens include `MEDIA_TOKENS`, `END` and `PAD`."""
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": END, "pad_token": PAD}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": "InternVLProcessor",
            "model_max_length": 8192,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            **names,
            **MEDIA_TOKENS,
            "extra_special_tokens": MEDIA_TOKENS,
        },
    )
    write_json(folder / "special_tokens_map.json", {**names, **MEDIA_TOKENS})
    (folder / "chat_template.jinja").write_text(_CHAT_TEMPLATE, "utf-8")


def write_processor(folder: Path, image_size: int, image_tokens: int) -> None:
    """Writes the image processor's settings.

    Args:
        folder: The base model's folder.
        image_size: Width and height of a tile, in pixels.
        image_tokens: Visual tokens of a tile.
    """
    write_json(
        folder / "processor_config.json", {"image_seq_length": image_tokens, "processor_class": "InternVLProcessor"}
    )
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "GotOcr2ImageProcessorFast",
            "processor_class": "InternVLProcessor",
            "crop_to_patches": False,
            "min_patches": 1,
            "max_patches": 12,
            "do_convert_rgb": True,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "size": {"height": image_size, "width": image_size},
            "resample": 3,
            "rescale_factor": 1 / 255,
            # The usual ImageNet statistics, as InternViT was trained with.
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file as the hub's are."""
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
