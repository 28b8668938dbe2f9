"""The demo's base model: InternVL3's architecture, two million parameters small, made and trained from nothing.

The files are written in the layout in which the real model lies on the hub, so that both load by the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch

SEED = 3

IMAGE_SIZE = 112
PATCH_SIZE = 14
DOWNSAMPLE = 0.5
IMAGE_TOKENS = int((IMAGE_SIZE // PATCH_SIZE * DOWNSAMPLE) ** 2)
VOCABULARY = 1024

# Qwen2's way of cutting text before byte-level merges: every digit stands alone.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MEDIA_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", *_MEDIA_TOKENS.values(), "<quad>", "</quad>", "<ref>", "</ref>", "<box>",
    "</box>",
)  # fmt: skip
_CHAT_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for block in turn['content'] %}"
    "{% if block['type'] == 'image' %}<IMG_CONTEXT>\n{% elif block['type'] == 'text' %}{{ block['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_base(folder: Path, corpus: Iterable[str]) -> None:
    """Writes a base model that `training.demo.pretraining` has taught to see.

    Args:
        folder: Where to write; made where it is absent.
        corpus: Texts from which the byte-level merges are learned, besides those of the base's own training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    from training.demo.pretraining import draw, pretrain

    scenes = draw()
    spoken = (text for scene in scenes[:4000] for turn in scene.turns for text in turn)
    tokenizer = _write_tokenizer(folder, chain(corpus, spoken))
    _write_processor(folder)
    model = new_model(tokenizer)
    pretrain(model, tokenizer, scenes)
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)


def _write_tokenizer(folder: Path, corpus: Iterable[str]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(_SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": "InternVLProcessor",
            "model_max_length": 8192,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            **names,
            **_MEDIA_TOKENS,
            "extra_special_tokens": _MEDIA_TOKENS,
        },
    )
    _write_json(folder / "special_tokens_map.json", {**names, **_MEDIA_TOKENS})
    (folder / "chat_template.jinja").write_text(_CHAT_TEMPLATE, "utf-8")
    return tokenizer


def _write_processor(folder: Path) -> None:
    _write_json(
        folder / "processor_config.json", {"image_seq_length": IMAGE_TOKENS, "processor_class": "InternVLProcessor"}
    )
    _write_json(
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
            "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            "resample": 3,
            "rescale_factor": 1 / 255,
            # The usual ImageNet statistics, as InternViT was trained with.
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )


def new_model(tokenizer: Any) -> Any:
    """An untrained model for a tokenizer, seeded."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    config = InternVLConfig(
        # Widths are multiples of 64, the block that NF4 quantises together.
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
        image_token_id=tokenizer.token_to_id("<IMG_CONTEXT>"),
        image_seq_length=IMAGE_TOKENS,
        downsample_ratio=DOWNSAMPLE,
        tie_word_embeddings=False,
    )
    torch.manual_seed(SEED)
    model = InternVLForConditionalGeneration(config)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
