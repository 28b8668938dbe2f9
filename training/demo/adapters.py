"""The demo's adapters: seeded random numbers that have learned nothing, until the training commands make them."""

from __future__ import annotations

from pathlib import Path

import torch

from submission.routes import ROUTE_NAME, ImageSettings, Route, adapter_names
from submission.tasks import MULTI_TASK, TASKS, TaskType

RANK = 8
ALPHA = 16
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
BUDGETS = {
    TaskType.CLASSIFICATION: 16,
    TaskType.MULTI_LABEL: 48,
    TaskType.DETECTION: 64,
    TaskType.INSTANCE_DETECTION: 192,
    TaskType.COUNTING: 6,
    TaskType.REGRESSION: 8,
    TaskType.REPORT: 64,
}
"""Token budgets that hold the synthetic data's longest answers in the demo's tokenizer."""


def build_adapters(base: Path, folder: Path, *, name: str, revision: str) -> None:
    """Writes eight untrained adapters and their routes.

    Args:
        base: The base model's folder.
        folder: Parent of the adapter folders.
        name: The base model's name, for the routes.
        revision: The base model's revision, for the routes.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    for seed, adapter in enumerate(adapter_names()):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16, local_files_only=True)
        # The seven projections of the language model; vision tower and projector stay as they are.
        targets = rf"model\.language_model\..*\.({'|'.join(PROJECTIONS)})"
        lora = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
        model = get_peft_model(model, lora, autocast_adapter_dtype=False)
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.05)
        model.peft_config["default"].base_model_name_or_path = name
        target = folder / adapter
        model.save_pretrained(target, safe_serialization=True, save_embedding_layers=False)
        (target / "README.md").unlink(missing_ok=True)  # peft's blank model card
        tasks = TASKS if adapter == MULTI_TASK else [TaskType(adapter)]
        route = Route(
            adapter=adapter,
            base_model=name,
            base_revision=revision,
            images=ImageSettings(max_pixels=448 * 448),
            max_new_tokens={task: BUDGETS[task] for task in tasks},
        )
        (target / ROUTE_NAME).write_text(route.model_dump_json(indent=1) + "\n", "utf-8")
