"""A whole checkpoint of a wanted shape with random weights: base, eight adapters, and a router from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.checkpoints.routes import Quantization, Route, write_route
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from mevlip_training.assembly import assemble
from mevlip_training.shapes.layout import write_processor, write_tokenizer
from mevlip_training.shapes.qwen import build_tokenizer, find_ranks

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import InternVLConfig


@dataclass(frozen=True)
class OtherFamily:
    """What a base of another family than InternVL needs.

    Attributes:
        write_encoder: Writes tokenizer, chat template and processor settings into its folder.
        deviation: Standard deviation of its weights and its adapters'; the default makes answers differ visibly.
    """

    write_encoder: Callable[[Path], None]
    deviation: float = 0.15


NOTICE = "RANDOM WEIGHTS: a checkpoint for measuring and testing; its answers mean nothing"
RANK = 8


def write_base(
    folder: Path,
    config: Any,
    seed: int = 0,
    quiet: bool = True,
    tokenizer: Tokenizer | None = None,
    family: OtherFamily | None = None,
) -> int:
    """Writes a base model with random weights.

    Args:
        folder: The base model's folder.
        config: Its shape.
        seed: Seed of the weights.
        quiet: Whether to show no progress.
        tokenizer: A tokenizer with the vocabulary of the shape; None for Qwen2.5's.
        family: What else than InternVL it is.

    Returns:
        Number of parameters.

    Raises:
        EnvironmentProblem: Qwen2.5's vocabulary is needed and not installed.
    """
    from mevlip_training.shapes.internvl3 import write_weights

    if family is None:
        write_encoder(folder, config, tokenizer)
        return write_weights(folder, config, seed, quiet)
    folder.mkdir(parents=True, exist_ok=True)
    family.write_encoder(folder)
    return write_weights(folder, config, seed, quiet, family.deviation)


def write_encoder(folder: Path, config: InternVLConfig, tokenizer: Tokenizer | None = None) -> None:
    """Writes a base model's tokenizer, chat template and processor settings; see `write_base`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, tokenizer or build_tokenizer(find_ranks()))
    write_processor(folder, config.vision_config.image_size[0], config.image_seq_length)


def write_adapters(
    folder: Path,
    config: Any,
    name: str,
    budgets: dict[TaskType, int] | None = None,
    quantization: Quantization | None = None,
    family: OtherFamily | None = None,
) -> None:
    """Writes eight random rank-8 adapters and their routes; assembling adds the fingerprints.

    Args:
        folder: Receives one folder for each adapter.
        config: The base's shape.
        name: The base's name.
        budgets: Token budget of each task; None for the task table's.
        quantization: How the base is to be stored; None for the contract's default.
        family: What else than InternVL the base is.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    from mevlip_training.shapes.internvl3 import DEVIATION, TARGETS, random_adapter

    deviation = family.deviation if family else DEVIATION
    # LLaMA-Factory writes whole names where the vision tower has layers of the same last names.
    whole = {key.split(".lora_")[0].removeprefix("base_model.model.") for key in random_adapter(config, RANK, 0)}
    lora = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        lora_dropout=0.0,
        target_modules=sorted(whole) if family else list(TARGETS),
        task_type="CAUSAL_LM",
        base_model_name_or_path=name,
        inference_mode=True,
    )
    budgets = budgets or {task.type: task.max_new_tokens for task in TASKS.values()}
    for seed, adapter in enumerate(adapter_names(), 1):
        own = folder / adapter
        lora.save_pretrained(own)
        save_file(random_adapter(config, RANK, seed, deviation), own / WEIGHTS_NAME, {"format": "pt"})
        route = Route(
            adapter=adapter,
            base_model=name,
            base_revision="random",
            max_new_tokens=budgets if adapter == GENERALIST else {TaskType(adapter): budgets[TaskType(adapter)]},
            quantization=quantization or Quantization(),
        )
        write_route(own, route)


def write_checkpoint(
    folder: Path,
    config: Any,
    router: Path,
    budgets: dict[TaskType, int] | None = None,
    quiet: bool = True,
    tokenizer: Tokenizer | None = None,
    quantization: Quantization | None = None,
    family: OtherFamily | None = None,
) -> Checkpoint:
    """Writes a whole checkpoint folder.

    Args:
        folder: The checkpoint folder; must not exist.
        config: The base's shape.
        router: Folder of a trained router.
        budgets: Token budget of each task; None for the task table's.
        quiet: Whether to show no progress.
        tokenizer: A tokenizer with the vocabulary of the shape; None for Qwen2.5's.
        quantization: How the base is to be stored; None for the contract's default.
        family: What else than InternVL the base is.
    """
    parts = folder.with_name(f".{folder.name}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    name = f"random/{folder.name}"
    try:
        write_base(parts / "base", config, quiet=quiet, tokenizer=tokenizer, family=family)
        write_adapters(parts / "adapters", config, name, budgets, quantization, family)
        return assemble(
            folder,
            base=parts / "base",
            adapters=parts / "adapters",
            router=router,
            name=folder.name,
            kind="demo",
            notice=NOTICE,
        )
    finally:
        shutil.rmtree(parts, ignore_errors=True)
