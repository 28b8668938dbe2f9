"""Gemma 3's architecture: the true four billion parameters' shape, and a small one whose weights differ visibly.

Gemma's vocabulary is in no package that can be installed without accepting its terms, so a small tokenizer of the same
kind stands in for it: byte fallback, a mark for blanks, line breaks that are tokens, and Gemma's special tokens.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Gemma3Config

from mevlip_training.shapes.checkpoint import OtherFamily
from mevlip_training.shapes.layout import write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MARKS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
_TURNS = ("<start_of_turn>", "<end_of_turn>")
_IMAGES = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_WORDS = 600

# As the hub's: the system text stands in the user's turn, and nothing between an image and the text.
_CHAT_TEMPLATE = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}"
    "{%- else -%}{%- set first_user_prefix = '' -%}{%- set loop_messages = messages -%}{%- endif -%}"
    "{%- for message in loop_messages -%}"
    "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
    "{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else '') }}"
    "{%- for item in message['content'] -%}"
    "{%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}"
    "{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}{%- endfor -%}"
    "{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)


def medgemma_4b() -> Gemma3Config:
    """The shape of google/medgemma-4b-it."""
    text = {
        "vocab_size": 262_208,
        "hidden_size": 2560,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "intermediate_size": 10_240,
        "sliding_window": 1024,
    }
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
              "image_size": 896, "patch_size": 14}  # fmt: skip
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=256)


def tiny(tokenizer: Tokenizer) -> Gemma3Config:
    """Three narrow layers, of which two look back 24 tokens only, and images of 16 tokens.

    Args:
        tokenizer: Its tokenizer, with Gemma's special tokens.
    """
    text = {
        "vocab_size": tokenizer.get_vocab_size() + 7,  # the real model has logits without a token, too
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "intermediate_size": 128,
        "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "max_position_embeddings": 8192,
        "eos_token_id": [tokenizer.token_to_id("<eos>"), tokenizer.token_to_id("<end_of_turn>")],
    }
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 112, "patch_size": 14}  # fmt: skip
    ids = {name.replace("token", "token_index"): tokenizer.token_to_id(token) for name, token in _IMAGES.items()}
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=16, **ids)


def small_tokenizer(base: Path) -> Tokenizer:
    """A stand-in for Gemma's, trained on the words of the demo's.

    Args:
        base: The demo's base.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from tokenizers import decoders as parts

    demo = Tokenizer.from_file(str(base / "tokenizer.json"))
    words = [*(demo.decode([one]) for one in range(demo.get_vocab_size())), *string.printable, " "]

    def empty(model: Any) -> Tokenizer:
        made = Tokenizer(model)
        made.normalizer = normalizers.Replace(" ", "▁")
        made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
        return made

    special = [*_MARKS, *_TURNS, *_IMAGES.values()]
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    trained = empty(models.BPE(**options))
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 2 + 256 + _WORDS, special_tokens=[*special, "\n", "\n\n", *_BYTES],
        show_progress=False,
    )  # fmt: skip
    trained.train_from_iterator(words, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = empty(models.BPE(model["vocab"], [tuple(one) for one in model["merges"]], **options))
    tokenizer.decoder = parts.Sequence([parts.Replace("▁", " "), parts.ByteFallback(), parts.Fuse()])
    tokenizer.add_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    tokenizer.add_tokens([AddedToken(one, special=False, normalized=False) for one in ("\n", "\n\n")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return tokenizer


def family(tokenizer: Tokenizer, image_size: int = 112, image_tokens: int = 16) -> OtherFamily:
    """How a base of this family is written."""
    return OtherFamily(lambda folder: write_encoder(folder, tokenizer, image_size, image_tokens))


def write_encoder(folder: Path, tokenizer: Tokenizer, image_size: int, image_tokens: int) -> None:
    """Writes tokenizer, chat template and processor settings as they lie on the hub.

    Args:
        folder: The base model's folder.
        tokenizer: The tokenizer.
        image_size: Width and height to which images are resized.
        image_tokens: Tokens of an image.
    """
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('<>')}_token": name for name in _MARKS}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GemmaTokenizer",
            "processor_class": "Gemma3Processor",
            "model_max_length": 10**30,
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            **names,
            **_IMAGES,
            "extra_special_tokens": _IMAGES,
        },
    )
    (folder / "chat_template.jinja").write_text(_CHAT_TEMPLATE, "utf-8")
    write_json(
        folder / "processor_config.json", {"image_seq_length": image_tokens, "processor_class": "Gemma3Processor"}
    )
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Gemma3ImageProcessor",
            "processor_class": "Gemma3Processor",
            "do_pan_and_scan": None,
            "do_convert_rgb": None,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "size": {"height": image_size, "width": image_size},
            "resample": 2,
            "rescale_factor": 1 / 255,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
