"""Qwen3.5's architecture: the true nine billion parameters' shape, and a small one whose weights differ visibly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import Qwen3_5Config

from mevlip_training.shapes.checkpoint import OtherFamily
from mevlip_training.shapes.layout import END, PAD
from mevlip_training.shapes.qwen2_5_vl import small_tokenizer, token_ids, write_encoder
from mevlip_training.shapes.qwen3_vl import IMAGES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["family", "qwen3_5_9b", "small_tokenizer", "tiny"]

# As the hub's: text is stripped, and an answer begins with thoughts unless they are turned off.
_CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string %}{{- message.content|trim }}{%- else %}"
    "{%- set parts %}{%- for content in message.content %}"
    "{%- if content.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif 'text' in content %}{{- content.text }}{%- endif %}{%- endfor %}{%- endset %}{{- parts|trim }}"
    "{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '\n</think>\n\n' }}{%- endif %}{%- endif %}"
)


def qwen3_5_9b() -> Qwen3_5Config:
    """The shape of Qwen/Qwen3.5-9B, without its head for predicting several tokens, which transformers leaves out."""
    text = {
        "vocab_size": 248_320,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "intermediate_size": 12_288,
        "max_position_embeddings": 262_144,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000_000.0,
            "partial_rotary_factor": 0.25,
            "mrope_section": [11, 11, 10],
        },
    }
    return Qwen3_5Config(text_config=text, vision_config={"out_hidden_size": 4096})


def tiny(tokenizer: Tokenizer) -> Qwen3_5Config:
    """Narrow layers: four of the language model, of which the last attends and the others carry a state.

    Args:
        tokenizer: Its tokenizer, with Qwen2.5's special tokens.
    """
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 128,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [4, 2, 2],
        },
        "bos_token_id": tokenizer.token_to_id(PAD),
        "eos_token_id": tokenizer.token_to_id(END),
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
    }
    return Qwen3_5Config(text_config=text, vision_config=vision, **token_ids(tokenizer))


def family(tokenizer: Tokenizer) -> OtherFamily:
    """How a base of this family is written."""
    return OtherFamily(lambda folder: write_encoder(folder, tokenizer, "Qwen3VLProcessor", _CHAT_TEMPLATE, IMAGES))
