"""The demo's base model: InternVL3's architecture, two million parameters small, made and trained from nothing.

The files are written in the layout in which the real model lies on the hub, so that both load by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from mevlip_training.shapes.layout import (
    END,
    IMAGE,
    MEDIA_TOKENS,
    PAD,
    byte_level_tokenizer,
)

SEED = 3

IMAGE_SIZE = 112
PATCH_SIZE = 14
DOWNSAMPLE = 0.5
IMAGE_TOKENS = int((IMAGE_SIZE // PATCH_SIZE * DOWNSAMPLE) ** 2)
VOCABULARY = 1024

_SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", *MEDIA_TOKENS.values(), "<quad>", "</quad>", "<ref>", "</ref>", "<box>",
    "</box>",
)  # fmt: skip


def train_tokenizer(corpus: Iterable[str]) -> Any:
    """A byte-level tokenizer of `VOCABULARY` tokens, its merges learned from some texts."""
    from tokenizers import AddedToken, models, pre_tokenizers, trainers

    tokenizer = byte_level_tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(_SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL_TOKENS])
    return tokenizer


def new_model(tokenizer: Any) -> Any:
    """An untrained model for a tokenizer, seeded."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    config = InternVLConfig(
        # Widths are multiples of 64, the block that NF4 quantizes together.
        vision_config=InternVLVisionConfig(
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            attention_bias=True,
            layer_scale_init_value=1.0,  # the real value, 0.1, is meant for twenty-four layers
            image_size=[IMAGE_SIZE, IMAGE_SIZE],
            patch_size=[PATCH_SIZE, PATCH_SIZE],
        ),
        text_config=Qwen2Config(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=8192,
            tie_word_embeddings=False,
            bos_token_id=pad,
            eos_token_id=end,
        ),
        image_token_id=tokenizer.token_to_id(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        downsample_ratio=DOWNSAMPLE,
        tie_word_embeddings=False,
    )
    torch.manual_seed(SEED)
    model = InternVLForConditionalGeneration(config)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model
