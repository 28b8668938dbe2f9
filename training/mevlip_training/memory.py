"""How much memory of a GPU a training takes, by arithmetic from the base's shape; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import Quantization
from mevlip.core.errors import CheckpointError
from mevlip.inference.families.base import OFFLINE
from mevlip_training.runs import rank_of

BESIDE = 0.9e9
"""Bytes that driver and libraries hold beside torch's, as measured on an H200."""

_DOUBLE, _SINGLE = 0.5 + 1 / 64 + 4 / (64 * 256), 0.5 + 4 / 64
"""Bytes of a number in four bits: with its share of the constants, quantized themselves or not."""
_LOGIT = 2 + 4 + 4 + 4 + 2
"""Bytes of a logit at the end of a forward: in bfloat16, in float32, its log-softmax, and the gradients of both."""
_POSSIBLE = 1
"""Bytes of whether a logit's token could have been sampled."""
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
        inner: Width of its feed-forward part.
        cached: Numbers that it keeps of each token while it writes: keys and values of all layers.
    """

    linear: int
    others: int
    largest: int
    sides: int
    layers: int
    hidden: int
    logits: int
    inner: int
    cached: int


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
        inner=text.intermediate_size,
        cached=text.num_hidden_layers * 2 * text.num_key_value_heads * _head_size(text),
    )


def _head_size(text: Any) -> int:
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)


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
    base = _base_bytes(shape, settings.get("quantization_bit") == 4, settings.get("double_quantization", True))
    adapter = adapter_numbers(shape, settings) * (_WEIGHT_AND_GRADIENT + optimizer_bytes(settings))
    tokens = int(settings["per_device_train_batch_size"]) * longest
    return base + adapter + tokens * (shape.layers * shape.hidden * 2 + shape.logits * _LOGIT) + 2 * shape.largest * 2


def _base_bytes(shape: Shape, four_bits: bool, double: bool) -> float:
    return shape.linear * ((_DOUBLE if double else _SINGLE) if four_bits else 2) + shape.others * 2


@dataclass(frozen=True)
class Sampling:
    """What of a GRPO step decides about memory and time.

    Attributes:
        completions: Completions that are sampled together.
        batch: Those of one forward and backward pass.
        prompt: Tokens of the longest prompt.
        answer: Most tokens of a completion.
        rank: LoRA's.
        optimizer: Bytes of the optimizer's state for each trainable number.
        quantization: How the base is stored.
        has_start: Whether divergence from the start is measured, which takes a frozen copy of the adapter.
        is_stale: Whether weights change between a completion's sampling and its use, which takes one more forward.
    """

    completions: int
    batch: int
    prompt: int
    answer: int
    rank: int
    optimizer: int
    quantization: Quantization
    has_start: bool
    is_stale: bool


def sampling_memory(shape: Shape, one: Sampling) -> float:
    """Bytes that torch reserves at most in a GRPO step, with gradient checkpointing.

    The base, the adapter with gradients and optimizer's state, the frozen one beside it, and the larger of two: keys,
    values and one layer's numbers for all completions while they are sampled; hidden states between layers, with the
    logits of the completions or one layer's numbers, for those of one batch. Two dequantized matrices are added.
    """
    base = _base_bytes(shape, one.quantization.kind != "none", one.quantization.double)
    adapter = one.rank * shape.sides * (_WEIGHT_AND_GRADIENT + one.optimizer + 4 * one.has_start)
    length = one.prompt + one.answer
    layer = (8 * shape.hidden + 4 * shape.inner) * 2
    sampled = one.completions * (length * shape.cached * 2 + one.prompt * layer)
    logits = (one.answer + 1) * shape.logits * (_LOGIT + _POSSIBLE)
    trained = one.batch * (length * shape.layers * shape.hidden * 2 + max(logits, length * layer))
    return base + adapter + max(sampled, trained) + 2 * shape.largest * 2


def sampling_operations(shape: Shape, one: Sampling) -> float:
    """Floating-point operations of one generation and the steps on it: two for each number of the base and each token.

    Sampling is a forward over prompt and completion; so are the adapter of the start and, where weights change in
    between, that of the sampling. Training is three: forward, the same again for the gradients, and backward to what
    the layers were given; the base's own gradients are not needed.
    """
    forwards = 1 + one.has_start + one.is_stale + 3
    return 2 * (shape.linear + shape.others) * one.completions * (one.prompt + one.answer) * forwards


def free_gpu_memory() -> int | None:
    """Free bytes of the GPU; None without one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
