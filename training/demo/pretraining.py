"""Teaching the demo's base model to see, on freshly drawn scenes described in plain words."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from training.demo.base import IMAGE_SIZE, IMAGE_TOKENS
from training.demo.plain import plain_turns
from training.demo.scenes import draw_scene
from training.demo.wordings import DATASETS

logger = logging.getLogger(__name__)

BATCH = 32
LEARNING_RATE = 1.5e-3
WARM_UP = 0.04
FOUR_BIT_FROM = 0.7
"""From this share of the steps on the linear weights are rounded to NF4, as they will be when the model is used."""
_CHUNK = 250
_IGNORED = -100  # the label that PyTorch's cross-entropy leaves out

Turns = list[tuple[str, str]]


@dataclass(frozen=True)
class Phase:
    """A part of the training with a learning-rate cycle of its own.

    Attributes:
        seed: Seed of scenes and order.
        scenes: Number of scenes drawn, each seen several times.
        steps: Optimiser steps.
        weights: How much more often some data sets are drawn than the others.
    """

    seed: int
    scenes: int
    steps: int
    weights: dict[str, int]


PHASES = (
    Phase(
        11,
        30_000,
        2_800,
        dict.fromkeys(("chromosome_plates", "nodule_boxes", "birth_structures"), 3)
        | dict.fromkeys(("cell_fields", "bone_loss"), 2),
    ),
    # Seeing where things are takes longest to learn.
    Phase(
        12,
        30_000,
        3_000,
        dict.fromkeys(("chromosome_plates", "nodule_boxes", "birth_structures"), 7)
        | dict.fromkeys(("cell_fields", "mole_shapes", "fundus_grades", "smear_types", "chest_labels"), 3),
    ),
    Phase(
        13,
        24_000,
        2_000,
        dict.fromkeys(("chromosome_plates", "birth_structures"), 8)
        | {"nodule_boxes": 4, "chest_labels": 3, "tooth_findings": 3, "breast_nodules": 3, "breast_views": 2},
    ),
)


@dataclass(frozen=True)
class Drawn:
    """A scene ready for training.

    Attributes:
        pixels: The images as the processor resizes them, uint8 (images, size, size, 3).
        turns: Questions and answers about them.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    turns: Turns


@dataclass(frozen=True)
class Row:
    """Token ids of one scene's conversation, the labels of the answers, and the scene's pixels."""

    ids: list[int]
    labels: list[int]
    pixels: np.ndarray[Any, np.dtype[np.uint8]]


def pretrain(model: Any, tokenizer: Any, phases: Sequence[Phase] = PHASES) -> list[float]:
    """Trains every weight of a base model in place; seeded.

    Args:
        model: An InternVLForConditionalGeneration in float32.
        tokenizer: Its `tokenizers.Tokenizer`.
        phases: What to train on and for how long.

    Returns:
        The mean loss of each tenth of each phase.
    """
    return [loss for phase in phases for loss in _train(model, tokenizer, phase)]


def _train(model: Any, tokenizer: Any, phase: Phase) -> list[float]:
    rows = [_encode(tokenizer, scene) for scene in draw(phase)]
    steps = phase.steps
    rng = random.Random(phase.seed)  # noqa: S311 - shuffling, not secrets
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)
    losses: list[float] = []
    total, batches, pad = 0.0, _batches(rows, rng), tokenizer.token_to_id("<|endoftext|>")
    model.train()
    for step in range(steps):
        if step == int(steps * FOUR_BIT_FROM):
            _round_to_four_bits(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**_collate(next(batches), pad)).loss
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += loss.item()
        if (step + 1) % (steps // 10) == 0:
            losses.append(total / (steps // 10))
            total = 0.0
            logger.info("base: %d of %d steps, loss %.4f", step + 1, steps, losses[-1])
    _keep_original_weights(model)
    model.eval()
    return losses


def draw(phase: Phase) -> list[Drawn]:
    """Draws a phase's scenes in two processes."""
    names = [dataset for dataset in DATASETS for _ in range(phase.weights.get(dataset.name, 1))]
    seeds = [f"{phase.seed}/{index}" for index in range(phase.scenes)]
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(2) as pool:
        return [scene for part in pool.map(_draw_chunk, chunks, [names] * len(chunks)) for scene in part]


def _draw_chunk(seeds: Sequence[str], names: Sequence[Any]) -> list[Drawn]:
    drawn = []
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311 - synthetic data, not secrets
        dataset = rng.choice(names)
        scene = draw_scene(dataset, rng)
        pixels = [np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), 3)) for image in scene.images]
        drawn.append(Drawn(np.stack(pixels), plain_turns(dataset, scene, rng)))
    return drawn


def _encode(tokenizer: Any, scene: Drawn) -> Row:
    """Writes the conversation in InternVL's chat format; only answers and their end tokens are learned."""
    ids: list[int] = []
    labels: list[int] = []
    image = f"<img>{'<IMG_CONTEXT>' * IMAGE_TOKENS}</img>\n" * len(scene.pixels)
    for turn, (question, answer) in enumerate(scene.turns):
        shown = image if turn == 0 else ""
        asked = tokenizer.encode(f"<|im_start|>user\n{shown}{question}<|im_end|>\n<|im_start|>assistant\n").ids
        said = tokenizer.encode(f"{answer}<|im_end|>\n").ids
        ids += asked + said
        labels += [_IGNORED] * len(asked) + said
    return Row(ids, labels, scene.pixels)


def _batches(rows: Sequence[Row], rng: random.Random) -> Iterator[list[Row]]:
    """Yields shuffled batches of like length for ever."""
    pool = BATCH * 16
    while True:
        order = list(rows)
        rng.shuffle(order)
        for start in range(0, len(order) - pool + 1, pool):
            near = sorted(order[start : start + pool], key=lambda row: len(row.ids))
            batches = [near[first : first + BATCH] for first in range(0, pool, BATCH)]
            rng.shuffle(batches)
            yield from batches


def _collate(rows: Sequence[Row], pad: int) -> dict[str, torch.Tensor]:
    length = max(len(row.ids) for row in rows)
    pixels = torch.from_numpy(np.concatenate([row.pixels for row in rows])).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return {
        "input_ids": torch.tensor([row.ids + [pad] * (length - len(row.ids)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows]),
        "labels": torch.tensor([row.labels + [_IGNORED] * (length - len(row.labels)) for row in rows]),
        "pixel_values": (pixels - mean) / std,
    }


class _FourBit(nn.Module):
    """Rounds a weight to NF4 blocks of 64; gradients pass as if it were not there (straight-through)."""

    def __init__(self) -> None:
        super().__init__()
        from bitsandbytes.functional import get_4bit_type

        self.code = get_4bit_type("nf4", device="cpu")
        self.bounds = (self.code[1:] + self.code[:-1]) / 2

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Returns the rounded weight, same shape."""
        blocks = weight.detach().reshape(-1, 64)
        scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
        rounded = self.code[torch.bucketize(blocks / scale, self.bounds)] * scale
        error: torch.Tensor = rounded.reshape(weight.shape) - weight.detach()
        return weight + error


def _four_bit_layers(model: Any) -> Iterator[nn.Linear]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            yield module


def _round_to_four_bits(model: Any) -> None:
    for layer in list(_four_bit_layers(model)):
        nn.utils.parametrize.register_parametrization(layer, "weight", _FourBit(), unsafe=True)


def _keep_original_weights(model: Any) -> None:
    for layer in list(_four_bit_layers(model)):
        if nn.utils.parametrize.is_parametrized(layer):
            nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
