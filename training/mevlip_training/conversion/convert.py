"""Writing a base in transformers' layout from one in InternVL's original layout."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from mevlip.checkpoints.records import Digest, FrozenModel
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.core.files import file_sha256, free_bytes, whole_folder
from mevlip.core.progress import Progress
from mevlip_training.conversion.encoder import read_tokenizer, vocabulary
from mevlip_training.conversion.original import HEAD, read_original, to_transformers
from mevlip_training.conversion.weights import find_files, plan, read_headers
from mevlip_training.shapes.internvl3 import hub_shapes, write_config
from mevlip_training.shapes.layout import write_processor, write_tokenizer
from mevlip_training.sharding import write_shards

logger = logging.getLogger(__name__)

RECORD_NAME = "converted_from.json"


class ConvertedFrom(FrozenModel):
    """Content of converted_from.json."""

    files: dict[str, Digest]
    """sha256 of the original's config.json and weights by name."""


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        tensors: Number of tensors.
        parameters: Number of their numbers, each two bytes.
    """

    tensors: int
    parameters: int


def convert(source: Path, out: Path) -> Converted:
    """Writes a base in transformers' layout.

    Everything but numbers is compared before anything is written. Then one file of the new base is in memory at a time.
    No code of the source is executed, and only safetensors, JSON and text files of it are opened.

    Args:
        source: Folder of an InternVLChatModel.
        out: The new folder; one that an earlier conversion wrote is replaced.

    Raises:
        CheckpointError: The source is incomplete, damaged, or of another model; `out` is then as it was.
        EnvironmentProblem: `out` holds something else, cannot be written, or its disk is full.
    """
    original = read_original(source)
    tokenizer = read_tokenizer(source)
    files = find_files(source)
    stored = read_headers(files)
    config = to_transformers(
        original, vocabulary(tokenizer), original.llm_config.tie_word_embeddings and HEAD not in stored
    )
    if config.image_token_id >= config.text_config.vocab_size:
        raise CheckpointError(
            f"The tokenizer in {source} has more tokens than the {config.text_config.vocab_size} logits of its config",
            "They do not belong together: fetch both again.",
        )
    wanted = hub_shapes(config)
    pieces = plan(source, stored, wanted)
    count = sum(shape.numel() for shape in wanted.values())
    if 2 * count > (free := free_bytes(out)):
        raise EnvironmentProblem(
            f"{2 * count / 1e9:.1f} GB would be written to {out}, where {free / 1e9:.1f} GB are free",
            "Free space, or name another folder.",
        )
    types = Counter(piece.source.dtype for piece in pieces.values())
    if rounded := types.total() - types["BF16"]:
        logger.warning("%d of %d tensors are rounded to bfloat16, in which bases are loaded", rounded, len(pieces))
    with (
        whole_folder(out, RECORD_NAME, source) as draft,
        Progress("converting", count, "parameters") as progress,
    ):

        def make(name: str) -> torch.Tensor:
            progress.advance(wanted[name].numel())
            return pieces[name].read()

        write_config(draft, config)
        write_tokenizer(draft, tokenizer)
        write_processor(draft, original.vision_config.image_size, config.image_seq_length)
        write_shards(draft, wanted, make)
        record = ConvertedFrom(files={path.name: file_sha256(path) for path in (source / "config.json", *files)})
        (draft / RECORD_NAME).write_text(record.model_dump_json(indent=1) + "\n", "utf-8")
    return Converted(len(pieces), count)
