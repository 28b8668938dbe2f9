"""Qwen2.5-VL's architecture: the true seven billion parameters' shape, and a small one whose weights differ visibly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from transformers import Qwen2_5_VLConfig

from mevlip_training.shapes.checkpoint import OtherFamily
from mevlip_training.shapes.layout import END, PAD, write_json
from mevlip_training.shapes.qwen import build_tokenizer, find_ranks

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IMAGE = "<|image_pad|>"
LOGITS = 152_064

IMAGES: Mapping[str, object] = MappingProxyType(
    {
        "min_pixels": 3136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
)
"""Settings of the image processor."""

# As the hub's: a system turn of its own stands where there is none.
_CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen2_5_vl_7b() -> Qwen2_5_VLConfig:
    """The shape of Qwen/Qwen2.5-VL-7B-Instruct."""
    text = {
        "vocab_size": LOGITS,
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18_944,
        "max_position_embeddings": 128_000,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
    }
    vision = {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision)


def tiny(tokenizer: Tokenizer) -> Qwen2_5_VLConfig:
    """Two narrow layers each; the vision tower's windows are four tokens large.

    Args:
        tokenizer: Its tokenizer, with Qwen2.5's special tokens.
    """
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]},
        "bos_token_id": tokenizer.token_to_id(PAD),
        "eos_token_id": tokenizer.token_to_id(END),
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **token_ids(tokenizer))


def token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of special tokens that a configuration names."""
    names = {"image": IMAGE, "video": "<|video_pad|>", "vision_start": "<|vision_start|>"}
    return {f"{name}_token_id": tokenizer.token_to_id(token) for name, token in names.items()}


def small_tokenizer(base: Path) -> Tokenizer:
    """The demo's, which has Qwen2.5's special tokens.

    Args:
        base: The demo's base.
    """
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(base / "tokenizer.json"))


def true_tokenizer() -> Tokenizer:
    """The real one: Qwen2.5's tokens without InternVL's.

    Raises:
        EnvironmentProblem: Qwen2.5's vocabulary is not installed.
    """
    return build_tokenizer(find_ranks(), ())


def family(tokenizer: Tokenizer) -> OtherFamily:
    """How a base of this family is written."""
    return OtherFamily(lambda folder: write_encoder(folder, tokenizer))


def write_encoder(
    folder: Path,
    tokenizer: Tokenizer,
    processor: str = "Qwen2_5_VLProcessor",
    chat_template: str = _CHAT_TEMPLATE,
    images: Mapping[str, object] = IMAGES,
) -> None:
    """Writes tokenizer, chat template and processor settings as they lie on the hub.

    Args:
        folder: The base model's folder.
        tokenizer: The tokenizer.
        processor: Name of the processor's class.
        chat_template: The chat template.
        images: Settings of the image processor.
    """
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": END, "pad_token": PAD}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": processor,
            "model_max_length": 131_072,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            **names,
        },
    )
    (folder / "chat_template.jinja").write_text(chat_template, "utf-8")
    kinds = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": processor}
    write_json(folder / "preprocessor_config.json", {**kinds, **images})
