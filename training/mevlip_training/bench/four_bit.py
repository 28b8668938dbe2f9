"""A base model of any shape with random NF4 weights, made where it runs: neither files nor the 16 GB of bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mevlip.checkpoints.routes import Quantization
from mevlip.core import memory
from mevlip.core.errors import EnvironmentProblem
from mevlip.inference import loading

if TYPE_CHECKING:
    from transformers import InternVLConfig

SEED = 0
_HEAD = "lm_head"
"""The one linear layer that transformers leaves unquantized."""
_SPARE = 1.5
"""Memory for adapters, one unquantized layer at a time, and answering, as a multiple of the weights."""


def load_random_base(folder: Path, quantization: Quantization, device: torch.device) -> Any:
    """Stands in for `mevlip.inference.loading.load_base`: reads the shape from a base's config.json alone."""
    from transformers import InternVLConfig

    return random_four_bit(InternVLConfig.from_pretrained(folder), quantization, device)


def random_four_bit(config: InternVLConfig, quantization: Quantization, device: torch.device) -> Any:
    """Builds a model as if its bfloat16 files had been loaded in four bits.

    Args:
        config: The shape.
        quantization: How to store it.
        device: Where it is made and stays.

    Returns:
        The transformers model, in evaluation mode. Equal arguments give equal weights.

    Raises:
        EnvironmentProblem: There is no room for it in main memory.
    """
    import bitsandbytes as bnb
    from transformers import GenerationConfig, InternVLForConditionalGeneration

    if device.type == "cpu":
        loading._keep_four_bit_exact_on_cpu()
    with torch.device("meta"):
        model: Any = InternVLForConditionalGeneration(config)
    check_room(model, device)
    generator = torch.Generator(device).manual_seed(SEED)
    for name, module in list(model.named_modules()):
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            # Rotary embeddings, whose frequencies are in no file.
            model.set_submodule(name, type(module)(module.config, device=device))
        elif isinstance(module, torch.nn.Linear) and not name.endswith(_HEAD):
            packed = bnb.nn.Linear4bit(
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                compute_dtype=torch.bfloat16,
                compress_statistics=quantization.double,
                quant_type=quantization.kind,
                device="meta",
            )
            model.set_submodule(name, packed)
    for name, parameter in list(model.named_parameters()):
        owner, own = name.rpartition(".")[::2]
        module = model.get_submodule(owner)
        value = _random(name, parameter.shape, generator)
        if own == "weight" and isinstance(module, bnb.nn.Linear4bit):
            module.weight = bnb.nn.Params4bit(
                value,
                requires_grad=False,
                compress_statistics=quantization.double,
                quant_type=quantization.kind,
                module=module,
            ).to(device)  # which quantizes it
        else:
            setattr(module, own, torch.nn.Parameter(value, requires_grad=False))
    model.is_loaded_in_4bit = True
    text = config.text_config
    model.generation_config = GenerationConfig(
        bos_token_id=text.bos_token_id, pad_token_id=text.bos_token_id, eos_token_id=text.eos_token_id
    )
    return model.eval()


def check_room(model: Any, device: torch.device) -> None:
    """Raises EnvironmentProblem where a model in four bits would not fit into main memory.

    Args:
        model: The model, its parameters on the meta device.
        device: Where it is to be; a GPU says for itself when it is full.
    """
    if device.type != "cpu":
        return
    packed = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith(_HEAD)
    )
    plain = sum(parameter.numel() for parameter in model.parameters()) - packed
    needed, free = int(_SPARE * (packed * 0.52 + plain * 2)), memory.available()
    if needed > free:
        raise EnvironmentProblem(
            f"The true shape needs about {needed / 1e9:.0f} GB of main memory, {free / 1e9:.0f} GB are free",
            "Run it on a GPU with --device cuda, or choose --shape proportioned.",
        )


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    from mevlip_training.shapes.internvl3 import random_parameter

    return random_parameter(name, shape, generator)
