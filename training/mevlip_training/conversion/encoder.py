"""Tokenizer, chat template and image processor of a base in the original layout, as transformers' layout has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.checkpoints.records import TEXT_LIMIT, first_error
from mevlip.core.errors import CheckpointError
from mevlip.core.files import open_regular, read_bounded
from mevlip.inference.loading import describe_error
from mevlip_training.shapes.layout import END, IMAGE, MEDIA_TOKENS, PAD

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
_REMEDY = "Fetch vocab.json, merges.txt and tokenizer_config.json of the base again."


def read_tokenizer(folder: Path) -> Tokenizer:
    """Reads Qwen's tokenizer from a folder, without code from it; `<video>` is added where it is absent.

    Raises:
        CheckpointError: It cannot be read, or lacks a token that InternVL needs.
    """
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    found = [folder / name for name in _FILES if (folder / name).exists()]
    try:
        for path in found:
            open_regular(path, TEXT_LIMIT).close()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({first_error(error)})", _REMEDY) from error
    try:
        tokenizer: Tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except Exception as error:  # libraries have errors of their own for a damaged file
        raise CheckpointError(f"{folder} has no tokenizer of Qwen's kind ({describe_error(error)})", _REMEDY) from error
    for token, number in _declared(folder).items():
        if tokenizer.token_to_id(token) != number:
            raise CheckpointError(
                f"{folder}: tokenizer_config.json says that {token} is token {number}, by the vocabulary it is "
                f"{tokenizer.token_to_id(token)}",
                _REMEDY,
            )
    video = MEDIA_TOKENS["video_token"]
    needed = [token for token in (*MEDIA_TOKENS.values(), END, PAD) if token != video]
    if missing := [token for token in needed if tokenizer.token_to_id(token) is None]:
        raise CheckpointError(f"The tokenizer in {folder} does not know {', '.join(missing)}", _REMEDY)
    if tokenizer.token_to_id(video) is None:
        tokenizer.add_tokens([AddedToken(video, special=True, normalized=False)])
    return tokenizer


def _declared(folder: Path) -> dict[str, int]:
    """Ids of the added tokens as tokenizer_config.json lists them; none where it does not.

    Raises:
        CheckpointError: It cannot be read.
    """
    path = folder / "tokenizer_config.json"
    try:
        listed = json.loads(read_bounded(path, TEXT_LIMIT)).get("added_tokens_decoder", {})
        return {str(token["content"]): int(number) for number, token in listed.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({describe_error(error)})", _REMEDY) from error


def vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of the tokens that a config names."""
    return {name: tokenizer.token_to_id(token) for name, token in (("image", IMAGE), ("end", END), ("pad", PAD))}
