"""Writing weights in files that are never in memory together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

SHARD_BYTES = 2 << 30
"""Most bytes of a file, a tensor that is larger itself excepted."""


def write_shards(folder: Path, shapes: Mapping[str, torch.Size], make: Callable[[str], torch.Tensor]) -> None:
    """Writes bfloat16 weights as transformers reads them: one file, or several and their index.

    Args:
        folder: The model's folder.
        shapes: The shape of every tensor by its name.
        make: Gives a tensor, in bfloat16 and in memory of its own; called once for each, in order.
    """
    from safetensors.torch import save_file

    parts = list(_shards(shapes))
    places: dict[str, str] = {}
    for number, names in enumerate(parts, 1):
        file = "model.safetensors" if len(parts) == 1 else f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file({name: make(name) for name in names}, folder / file, {"format": "pt"})
        places |= dict.fromkeys(names, file)
    if len(parts) > 1:
        size = sum(2 * shape.numel() for shape in shapes.values())
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")


def _shards(shapes: Mapping[str, torch.Size]) -> Iterator[list[str]]:
    """Names of the tensors of each file, as many as fit into it."""
    part: list[str] = []
    size = 0
    for name, shape in shapes.items():
        if part and size + 2 * shape.numel() > SHARD_BYTES:
            yield part
            part, size = [], 0
        part.append(name)
        size += 2 * shape.numel()
    yield part
