"""How much memory of a GPU a training takes, by arithmetic from the base's shape; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mevlip.core.errors import CheckpointError
from mevlip.inference.families.base import OFFLINE
from mevlip_training.runs import rank_of

BESIDE = 0.9e9
"""Bytes that driver and libraries hold beside torch's, as measured on an H200."""

_DOUBLE, _SINGLE = 0.5 + 1 / 64 + 4 / (64 * 256), 0.5 + 4 / 64
"""Bytes of a number in four bits: with its share of the constants, quantized themselves or not."""
_LOGIT = 2 + 4 + 4 + 4 + 2
"""Bytes of a logit at the end of a forward: in bfloat16, in float32, its log-softmax, and the gradients of both."""
_WEIGHT_AND_GRADIENT = 4 + 4


@dataclass(frozen=True)
class Shape:
    """What of a base decides about memory.

    Attributes:
        linear: Numbers in linear layers, which are quantized.
        others: All other numbers, the output head included.
        largest: Numbers of the largest linear layer.
        sides: Heights and widths of the language model's linear layers, added up: an adapter has rank times as many.
        layers: Layers of the language model.
        hidden: Width of its hidden states.
        logits: Size of its vocabulary.
    """

    linear: int
    others: int
    largest: int
    sides: int
    layers: int
    hidden: int
    logits: int


def read_shape(base: Path) -> Shape:
    """Reads a base's shape from its config.json, without memory for its weights.

    Raises:
        CheckpointError: transformers makes no model of it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(base, **OFFLINE)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{base} is no base model ({type(error).__name__})", "Name its folder.") from error
    head = model.get_output_embeddings()
    linear = {
        name: tuple(layer.weight.shape)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head
    }
    numbers = sum(map(prod, linear.values()))
    text = config.get_text_config()
    return Shape(
        linear=numbers,
        others=model.num_parameters() - numbers,
        largest=max(map(prod, linear.values())),
        sides=sum(sum(shape) for name, shape in linear.items() if "language_model.layers" in name),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        logits=text.vocab_size,
    )


def adapter_numbers(shape: Shape, settings: Mapping[str, Any]) -> int:
    """Trainable numbers of an adapter on all linear layers of the language model."""
    return rank_of(settings) * shape.sides


def optimizer_bytes(settings: Mapping[str, Any]) -> int:
    """Bytes of the optimizer's state for each trainable number."""
    return 2 if "8bit" in str(settings.get("optim")) else 8


def training_memory(shape: Shape, settings: Mapping[str, Any], longest: int) -> float | None:
    """Bytes that torch reserves at most, with gradient checkpointing.

    The most is needed at the end of a forward: the base, the adapter with gradients and optimizer's state, the hidden
    states between layers, and several copies of the logits. Two dequantized matrices are added.

    Args:
        shape: The base's.
        settings: A training config.
        longest: Tokens of the longest row.

    Returns:
        None without gradient checkpointing, where other things decide.
    """
    if settings.get("disable_gradient_checkpointing"):
        return None
    four_bits = _DOUBLE if settings.get("double_quantization", True) else _SINGLE
    base = shape.linear * (four_bits if settings.get("quantization_bit") == 4 else 2) + shape.others * 2
    adapter = adapter_numbers(shape, settings) * (_WEIGHT_AND_GRADIENT + optimizer_bytes(settings))
    tokens = int(settings["per_device_train_batch_size"]) * longest
    return base + adapter + tokens * (shape.layers * shape.hidden * 2 + shape.logits * _LOGIT) + 2 * shape.largest * 2


def free_gpu_memory() -> int | None:
    """Free bytes of the GPU; None without one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
