"""Training a GLiClass task classifier."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from submission.router import ROUTER_NAME, RouterSettings, input_pipeline
from submission.tasks import TASKS, TaskType

Pair = tuple[str, TaskType]


@dataclass(frozen=True)
class RouterTraining:
    """How a router is trained."""

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-5
    seed: int = 0


def default_settings() -> RouterSettings:
    """Settings with the task table's label words."""
    return RouterSettings(labels={task.type: task.router_label for task in TASKS.values()})


def train_router(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], settings: RouterSettings, plan: RouterTraining
) -> list[float]:
    """Trains a GLiClass uni-encoder in place, all labels in one sequence before the question.

    Args:
        model: A GLiClassModel; its own focal loss is used, with the alpha and gamma of its config.
        tokenizer: Its tokenizer, which knows `<<LABEL>>` and `<<SEP>>`.
        pairs: Questions and their tasks.
        settings: The settings that the predictor will use, such as the label words.
        plan: Hyper-parameters.

    Returns:
        The mean loss of each epoch.
    """
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)  # noqa: S311 - shuffling, not secrets
    steps = plan.epochs * -(-len(pairs) // plan.batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps, pct_start=0.1)
    pipeline = input_pipeline(model, tokenizer, settings, device="cpu")
    model.train()
    losses = []
    for _ in range(plan.epochs):
        total = 0.0
        for batch in _batches(pairs, plan.batch_size, rng):
            loss = model(**_encode(pipeline, settings, batch, rng), max_num_classes=len(TASKS)).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        losses.append(total / len(pairs))
    model.eval()
    return losses


def _batches(pairs: Sequence[Pair], size: int, rng: random.Random) -> Iterator[list[Pair]]:
    order = list(pairs)
    rng.shuffle(order)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _encode(pipeline: Any, settings: RouterSettings, batch: Sequence[Pair], rng: random.Random) -> dict[str, Any]:
    """Encodes a batch with the labels of each row in an order of its own."""
    orders = []
    for _ in batch:
        order = list(settings.labels)
        rng.shuffle(order)
        orders.append(order)
    labels = [[settings.labels[task] for task in order] for order in orders]
    inputs = pipeline.prepare_inputs([question for question, _ in batch], labels)
    targets = [[float(one == task) for one in order] for order, (_, task) in zip(orders, batch, strict=True)]
    return {**inputs, "labels": torch.tensor(targets)}


def save_router(model: Any, tokenizer: Any, folder: Path, settings: RouterSettings) -> None:
    """Writes a router folder that `submission.router.Router` loads."""
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    (folder / ROUTER_NAME).write_text(settings.model_dump_json(indent=1) + "\n", "utf-8")
