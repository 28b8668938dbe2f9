"""InternVL3's architecture at several sizes: the true eight billion parameters, and small ones for a purpose each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForImageTextToText,
    InternVLConfig,
    InternVLVisionConfig,
    Qwen2Config,
)

from mevlip.core.progress import Progress
from mevlip_training.sharding import write_shards

LOGITS = 151_674
TILE_SIZE = 448
PATCH_SIZE = 14
DOWNSAMPLE = 0.5
TILE_TOKENS = int((TILE_SIZE // PATCH_SIZE * DOWNSAMPLE) ** 2)
DEVIATION = 0.02
"""Standard deviation of untrained weights."""
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj")
"""Linear layers of the language model that the paper's adapters change."""
STATE_PROJECTIONS = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")
"""Those of Qwen3.5's layers that carry a state in place of attention."""
TARGETS = tuple(f"self_attn.{name}" if name in ("q_proj", "k_proj", "v_proj") else name for name in PROJECTIONS)
"""Their names as an adapter_config.json has them: none fits a layer of the vision tower."""

# In the hub's files the language model holds its output head, and the wrapper's own prefix is left out.
_WRAPPED = ((r"^model\.language_model\.", "language_model.model."), (r"^lm_head\.", "language_model.lm_head."),
            (r"^model\.", ""))  # fmt: skip
_HUB_NAMES = {
    "qwen2_5_vl": ((r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual.")),
    "qwen3_vl": (),
    "qwen3_5": (),
}
"""Of bases of other families than InternVL's and Gemma's."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Vocabulary:
    """What a model has to know of its tokenizer.

    Attributes:
        size: Number of logits.
        end: Id of the token that ends a turn.
        pad: Id of the token that fills rows.
        image: Id of the token that stands for a visual one.
    """

    size: int
    end: int
    pad: int
    image: int


QWEN = Vocabulary(LOGITS, end=151_645, pad=151_643, image=151_667)


def internvl3_8b() -> InternVLConfig:
    """The shape of OpenGVLab/InternVL3-8B-hf: 7,944,373,760 parameters."""
    vision = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    text = {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
    }
    return _config(vision, text)


def internvl3_38b() -> InternVLConfig:
    """The shape of OpenGVLab/InternVL3-38B, with InternViT-6B and Qwen2.5-32B: 38,388,164,992 parameters."""
    vision = {"hidden_size": 3200, "num_hidden_layers": 45, "num_attention_heads": 25, "intermediate_size": 12_800}
    text = {
        "hidden_size": 5120,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "intermediate_size": 27_648,
    }
    config = _config(vision, text)
    config.vision_config.attention_bias = False
    config.vision_config.use_qk_norm = True
    config.vision_config.norm_type = "rms_norm"
    return config


def thin() -> InternVLConfig:
    """InternVL3-8B's vocabulary, tiles and visual tokens around two narrow layers each: 80 million parameters."""
    vision = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    text = {
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 512,
    }
    return _config(vision, text)


def proportioned(vocabulary: Vocabulary = QWEN) -> InternVLConfig:
    """InternVL3-8B's proportions at a thousandth of its size, for times on a processor.

    Its tiles and visual tokens are the true ones, grouped attention and the feed-forward's factor are like its own, and
    the vision tower does 14 % of the work of a question of one tile and about 356 prompt tokens, as there (0.74 of 5.4
    TFLOP). A vocabulary of about 2,000 tokens would give the output head its true share, too.
    """
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 256}
    text = {
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "intermediate_size": 1344,
    }
    return _config(vision, text, vocabulary)


def host_bound(vocabulary: Vocabulary = QWEN) -> InternVLConfig:
    """InternVL3-8B's number of layers, each so narrow that starting its operations takes longer than doing them.

    Tiles have 112 pixels and 16 visual tokens, as the demo's.
    """
    vision = {"hidden_size": 64, "num_hidden_layers": 24, "num_attention_heads": 2, "intermediate_size": 128}
    text = {
        "hidden_size": 64,
        "num_hidden_layers": 28,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "intermediate_size": 128,
    }
    return _config(vision, text, vocabulary, tile_size=112)


def _config(
    vision: dict[str, int], text: dict[str, int], vocabulary: Vocabulary = QWEN, tile_size: int = TILE_SIZE
) -> InternVLConfig:
    return InternVLConfig(
        vision_config=InternVLVisionConfig(
            **vision,
            image_size=[tile_size, tile_size],
            patch_size=[PATCH_SIZE, PATCH_SIZE],
            attention_bias=True,
            layer_scale_init_value=0.1,
        ),
        text_config=Qwen2Config(
            **text,
            vocab_size=vocabulary.size,
            max_position_embeddings=32_768,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            tie_word_embeddings=False,
            bos_token_id=vocabulary.pad,
            eos_token_id=vocabulary.end,
        ),
        image_token_id=vocabulary.image,
        image_seq_length=int((tile_size // PATCH_SIZE * DOWNSAMPLE) ** 2),
        downsample_ratio=DOWNSAMPLE,
        tie_word_embeddings=False,
    )


def shapes(config: Any) -> dict[str, torch.Size]:
    """The shape of every parameter, by its name in the loaded model, of any family; nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def hub_shapes(config: Any) -> dict[str, torch.Size]:
    """The shape of every parameter, by its name in the files of the hub."""
    return {_hub_name(name, config): shape for name, shape in shapes(config).items()}


def write_config(folder: Path, config: Any) -> None:
    """Writes config.json and generation_config.json as they lie on the hub.

    Args:
        folder: The base model's folder.
        config: The shape.
    """
    model_class = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    saved = type(config).from_dict({**config.to_dict(), "architectures": [model_class.__name__]})
    saved.dtype = torch.bfloat16
    saved.save_pretrained(folder)
    text = config.text_config
    pad = text.bos_token_id if text.pad_token_id is None else text.pad_token_id
    generation = {"bos_token_id": text.bos_token_id, "pad_token_id": pad, "eos_token_id": text.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n", "utf-8")


def write_weights(folder: Path, config: Any, seed: int, quiet: bool = True, deviation: float = DEVIATION) -> int:
    """Writes config.json, generation_config.json and random bfloat16 weights in shards, under the hub's names.

    Args:
        folder: The base model's folder.
        config: The shape.
        seed: Seed of the weights.
        quiet: Whether to show no progress.
        deviation: Standard deviation of the weights.

    Returns:
        Number of parameters.
    """
    write_config(folder, config)
    wanted = hub_shapes(config)
    count = sum(shape.numel() for shape in wanted.values())
    generator = torch.Generator().manual_seed(seed)
    with Progress("writing weights", count, "parameters", quiet) as progress:

        def make(name: str) -> torch.Tensor:
            progress.advance(wanted[name].numel())
            return random_parameter(name, wanted[name], generator, deviation)

        write_shards(folder, wanted, make)
    return count


def random_adapter(config: Any, rank: int, seed: int, deviation: float = DEVIATION) -> Tensors:
    """LoRA weights of the projections in every layer of the language model, under peft's names."""
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for name, shape in shapes(config).items():
        layer = name.removesuffix(".weight")
        if ".language_model.layers." in name and layer.endswith((*PROJECTIONS, *STATE_PROJECTIONS)):
            rows, columns = shape
            for part, size in (("A", (rank, columns)), ("B", (rows, rank))):
                tensor = torch.empty(size, dtype=torch.bfloat16).normal_(0, deviation, generator=generator)
                tensors[f"base_model.model.{layer}.lora_{part}.weight"] = tensor
    return tensors


def _hub_name(name: str, config: Any) -> str:
    for pattern, replacement in _HUB_NAMES.get(config.model_type, _WRAPPED):
        renamed, found = re.subn(pattern, replacement, name)
        if found:
            return renamed
    return name


def random_parameter(
    name: str, shape: torch.Size, generator: torch.Generator, deviation: float = DEVIATION
) -> torch.Tensor:
    """An untrained bfloat16 value: what norms, layer scales and biases begin with, else a normal one.

    Args:
        name: The parameter's name, which tells what it is.
        shape: Its shape.
        generator: Source of the numbers; the value is made on its device.
        deviation: Standard deviation.
    """
    value = torch.empty(shape, dtype=torch.bfloat16, device=generator.device)
    if "norm" in name and name.endswith("weight"):
        return value.fill_(1)
    if "lambda_" in name:
        return value.fill_(0.1)
    if name.endswith("bias"):
        return value.zero_()
    return value.normal_(0, deviation, generator=generator)
