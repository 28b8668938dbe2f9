"""Qwen2.5's tokenizer as InternVL3 has it, rebuilt from the list of its byte-level tokens.

The list, `qwen.tiktoken`, is a data file of the `dashscope` package on PyPI (a development dependency, of which no code
is imported). Each line is a token's bytes in base64 and its rank; the merges follow from the ranks.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem
from mevlip_training.shapes.layout import MEDIA_TOKENS, byte_level_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
QWEN_WORDS = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>",
)  # fmt: skip
"""Qwen2.5's added tokens that are not special: decoding keeps them."""
INTERNVL_TOKENS = (
    "<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>",
    MEDIA_TOKENS["video_token"],
)  # fmt: skip
"""The last one has no logit in InternVL3-8B-hf: 151,674 logits, 151,675 tokens."""

Merge = tuple[bytes, bytes]


def find_ranks() -> Path:
    """The file of Qwen2.5's tokens.

    Raises:
        EnvironmentProblem: The package that ships it is not installed.
    """
    package = find_spec("dashscope")
    places = package.submodule_search_locations if package else None
    path = Path(places[0], "resources", "qwen.tiktoken") if places else None
    if path is None or not path.is_file():
        raise EnvironmentProblem(
            "Qwen2.5's vocabulary (qwen.tiktoken of the package dashscope) is not installed",
            "Install the development tools: pip install -c constraints/predict.txt -e '.[dev]'.",
        )
    return path


def read_ranks(path: Path) -> list[bytes]:
    """The tokens' bytes, each at the index that is its rank and its id."""
    pairs = (line.split() for line in path.read_bytes().splitlines() if line)
    ranks = {int(rank): base64.b64decode(token) for token, rank in pairs}
    return [ranks[rank] for rank in range(len(ranks))]


def merges(tokens: list[bytes]) -> list[Merge]:
    """The merge that makes each token of more than one byte, in the order of ranks.

    A token's own bytes, merged by the ranks below its own, end as the two parts that its merge puts together.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return [_last_merge(token, ranks) for token in tokens if len(token) > 1]


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> Merge:
    parts = [token[place : place + 1] for place in range(len(token))]
    none = len(ranks)
    pairs = [ranks.get(token[place : place + 2], none) for place in range(len(token) - 1)]
    while len(parts) > 2:
        place = pairs.index(min(pairs))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
        del pairs[place]
        for left in (place - 1, place):  # what stands beside the new part
            if 0 <= left < len(pairs):
                pairs[left] = ranks.get(parts[left] + parts[left + 1], none)
    return parts[0], parts[1]


@cache
def _spelled(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges in the letters that stand for bytes; finding the merges takes seconds."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    tokens = read_ranks(path)
    vocabulary = {spell(token): rank for rank, token in enumerate(tokens)}
    return vocabulary, [(spell(left), spell(right)) for left, right in merges(tokens)]


def build_tokenizer(path: Path, more: Sequence[str] = INTERNVL_TOKENS) -> Tokenizer:
    """Builds the tokenizer: the file's tokens, then Qwen2.5's added ones, then more, InternVL's with `<video>` last."""
    from tokenizers import AddedToken, models

    tokenizer = byte_level_tokenizer(models.BPE(*_spelled(path)))
    for names, special in ((QWEN_TOKENS, True), (QWEN_WORDS, False), (more, True)):
        tokenizer.add_tokens([AddedToken(name, special=special, normalized=False) for name in names])
    return tokenizer
