"""Converting a base of InternVL3-8B's true size: `python -m benchmarks.conversion [FOLDER]`.

Writes the original layout, as Fleming-VL-8B has it, with Qwen2.5's vocabulary into FOLDER (build/conversion), its
weights as holes that take no disk and read as zeros, and converts it with the command's code in a process of its own.
That writes 16 GB, which are removed at the end. Memory is the process's own at its peak; beside it the largest of the
files that were written.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from math import prod
from pathlib import Path

from benchmarks.full_size import Memory, Row, gigabytes, in_a_process
from mevlip.core.tables import table
from mevlip_training.sharding import SHARD_BYTES
from tests.training.conversion.original_internvl import (
    TRUE_LANGUAGE,
    TRUE_VISION,
    InternVLChat,
    config,
    write_tokenizer,
)

FILES = 4
"""As Fleming-VL-8B has them."""


def write_original(folder: Path) -> int:
    """Writes the original layout.

    Returns:
        Number of tensors.
    """
    import torch

    from mevlip_training.shapes.qwen import build_tokenizer, find_ranks

    content = config(TRUE_VISION, TRUE_LANGUAGE)
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in InternVLChat(content).state_dict().items()}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    write_tokenizer(folder, build_tokenizer(find_ranks()))
    for number in range(FILES):
        part = {name: shapes[name] for name in sorted(shapes)[number::FILES]}
        write_holes(folder / f"model-{number + 1:05}-of-{FILES:05}.safetensors", part)
    return len(shapes)


def write_holes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Writes a safetensors file in bfloat16 of which only the header is on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def measure(source: Path, out: Path) -> Row:
    """Converts, and takes time and memory."""
    from mevlip_training.conversion.convert import convert

    memory, start = Memory(), time.perf_counter()
    converted = convert(source, out)
    seconds = time.perf_counter() - start
    sizes = [path.stat().st_size for path in out.glob("*.safetensors")]
    return (
        converted.tensors, f"{converted.parameters:,}", f"{seconds:.0f}", gigabytes(memory.peak),
        gigabytes(max(sizes)), gigabytes(SHARD_BYTES), gigabytes(sum(sizes)),
    )  # fmt: skip


def main() -> None:
    """Prints the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/conversion")
    source, out = folder / "original", folder / "converted"
    if not source.is_dir():
        tensors = write_original(source)
        print(f"{source}: {tensors} tensors in {FILES} files")
    row = in_a_process(measure, source, out)
    header = ("tensors", "parameters", "seconds", "peak GB", "largest file GB", "bound of a file GB", "written GB")
    print(table(header, [row]))
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
