"""Teaching the demo's base model to see, on freshly drawn scenes described in plain words."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mevlip_training.demo.base import IMAGE_SIZE, IMAGE_TOKENS, new_model, train_tokenizer
from mevlip_training.demo.plain import base_turns
from mevlip_training.demo.scenes import draw_scene
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.shapes.layout import write_processor, write_tokenizer

logger = logging.getLogger(__name__)

SEED = 11
SCENES = 56_000
STEPS = 7_000
BATCH = 32
LEARNING_RATE = 1.5e-3
WARM_UP = 0.04
FOUR_BIT_FROM = 0.7
"""From this share of the steps on the linear weights are rounded to NF4, as they will be when the model is used."""
WEIGHTS = {
    "chromosome_plates": 6,
    "birth_structures": 6,
    "nodule_boxes": 4,
    **dict.fromkeys(("cell_fields", "chest_labels", "tooth_findings"), 3),
    **dict.fromkeys(("mole_shapes", "breast_views", "smear_types", "breast_nodules", "birth_angle"), 2),
    **dict.fromkeys(("bone_loss", "chest_regions", "jaw_panorama"), 2),
}
"""How often some data sets are drawn for each time the others are: seeing where things are takes longest to learn."""
_CHUNK = 250
_IGNORED = -100  # the label that PyTorch's cross-entropy leaves out

Turns = list[tuple[str, str]]


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


def build_base(folder: Path, corpus: Iterable[str]) -> None:
    """Writes a base model that has been taught to see.

    Args:
        folder: Where to write; made where it is absent.
        corpus: Texts from which the byte-level merges are learned, besides those of the base's own training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes = draw()
    spoken = (text for scene in scenes[:4000] for turn in scene.turns for text in turn)
    tokenizer = train_tokenizer(chain(corpus, spoken))
    write_tokenizer(folder, tokenizer)
    write_processor(folder, IMAGE_SIZE, IMAGE_TOKENS)
    model = new_model(tokenizer)
    pretrain(model, tokenizer, scenes)
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)


def pretrain(model: Any, tokenizer: Any, scenes: Sequence[Drawn], steps: int = STEPS) -> list[float]:
    """Trains every weight of a base model in place; seeded.

    Args:
        model: An InternVLForConditionalGeneration in float32.
        tokenizer: Its `tokenizers.Tokenizer`.
        scenes: What to train on; each is seen several times.
        steps: Optimizer steps.

    Returns:
        The mean loss of each tenth.
    """
    rows = [_encode(tokenizer, scene) for scene in scenes]
    rng = random.Random(SEED)  # noqa: S311 - shuffling, not secrets
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)
    losses: list[float] = []
    four_bit = _FourBit(model)
    total, batches, pad = 0.0, _batches(rows, rng), tokenizer.token_to_id("<|endoftext|>")
    # At a hundred tokens plain matrix products train twice as fast on a CPU as PyTorch's fused attention.
    model.set_attn_implementation("eager")
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        with four_bit() if step >= steps * FOUR_BIT_FROM else nullcontext():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(**_collate(next(batches), pad)).loss
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if (step + 1) % (steps // 10) == 0:
            losses.append(total / (steps // 10))
            total = 0.0
            logger.info("base: %d of %d steps, loss %.4f", step + 1, steps, losses[-1])
    model.set_attn_implementation("sdpa")
    model.eval()
    return losses


def draw(scenes: int = SCENES) -> list[Drawn]:
    """Draws scenes in two processes."""
    names = [dataset for dataset in DATASETS for _ in range(WEIGHTS.get(dataset.name, 1))]
    seeds = [f"{SEED}/{index}" for index in range(scenes)]
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
        drawn.append(Drawn(np.stack(pixels), base_turns(dataset, scene, rng)))
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


class _FourBit:
    """Lets a model compute with NF4 weights while the full ones are trained (straight-through).

    Args:
        model: The model; its linear layers but for the output layer are rounded, in blocks of 64, as bitsandbytes does.
    """

    def __init__(self, model: nn.Module) -> None:
        from bitsandbytes.functional import get_4bit_type

        self._code = get_4bit_type("nf4", device="cpu")
        self._bounds = (self._code[1:] + self._code[:-1]) / 2
        self._weights = [
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and "lm_head" not in name
        ]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, the weights are rounded; gradients taken there are applied to the full weights afterward."""
        with torch.no_grad():
            full = torch.cat([weight.flatten() for weight in self._weights])
            self._put(self._round(full))
        yield
        with torch.no_grad():
            self._put(full)

    def _round(self, weights: torch.Tensor) -> torch.Tensor:
        blocks = weights.reshape(-1, 64)
        scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
        rounded: torch.Tensor = self._code[torch.bucketize(blocks / scale, self._bounds)] * scale
        return rounded.flatten()

    def _put(self, weights: torch.Tensor) -> None:
        parts = torch.split(weights, [weight.numel() for weight in self._weights])
        for weight, part in zip(self._weights, parts, strict=True):
            weight.copy_(part.view_as(weight))
