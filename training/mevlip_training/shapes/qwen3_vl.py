"""Qwen3-VL's architecture: the true eight billion parameters' shape, and a small one whose weights differ visibly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import Qwen3VLConfig

from mevlip_training.shapes.checkpoint import OtherFamily
from mevlip_training.shapes.layout import END, PAD
from mevlip_training.shapes.qwen2_5_vl import small_tokenizer, token_ids, true_tokenizer, write_encoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["family", "qwen3_vl_8b", "small_tokenizer", "tiny", "true_tokenizer"]

# As the hub's: a system turn only where there is one.
_CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}{%- for content in message.content %}"
    "{%- if content.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif 'text' in content %}{{- content.text }}{%- endif %}{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
IMAGES = {
    "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def qwen3_vl_8b() -> Qwen3VLConfig:
    """The shape of Qwen/Qwen3-VL-8B-Instruct."""
    text = {
        "vocab_size": 151_936,
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 12_288,
        "max_position_embeddings": 262_144,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5_000_000.0, "mrope_section": [24, 20, 20]},
    }
    return Qwen3VLConfig(text_config=text, vision_config={"out_hidden_size": 4096})


def tiny(tokenizer: Tokenizer) -> Qwen3VLConfig:
    """Narrow layers: three of the language model, of which two get what two of the vision tower's three see.

    Args:
        tokenizer: Its tokenizer, with Qwen2.5's special tokens.
    """
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]},
        "bos_token_id": tokenizer.token_to_id(PAD),
        "eos_token_id": tokenizer.token_to_id(END),
    }
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    return Qwen3VLConfig(text_config=text, vision_config=vision, **token_ids(tokenizer))


def family(tokenizer: Tokenizer) -> OtherFamily:
    """How a base of this family is written."""
    return OtherFamily(lambda folder: write_encoder(folder, tokenizer, "Qwen3VLProcessor", _CHAT_TEMPLATE, IMAGES))
