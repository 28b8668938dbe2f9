"""How many tokens go through a model at once: as many as fit into memory, by arithmetic from its shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from mevlip.inference.batching import Budget

MOST = Budget(computed=8_192, cached=65_536)
"""Upper bound of every budget: what one batch can lose when the program is killed."""
LEAST = Budget(computed=1_024, cached=2_048)
"""What a question on one untiled picture takes with room to spare; with less than that no run makes sense."""
_PATIENCE = 2e12
"""Most operations for the prompts of one batch without a GPU, half a minute at 67 GFLOP/s: a time limit and Ctrl-C take
effect only between batches."""
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_COMPUTING = 0.6
"""Share of the room that is for computing; the rest is for keys and values."""
_WRITING = 64
"""Rows for which choosing among all tokens has room."""
MOST_TILES = 16
"""Most tiles in one pass through the vision tower."""


def parse_size(text: str) -> int:
    """Bytes of a size such as `9GB` or `7.5 GiB`.

    Raises:
        ValueError: It is not a size.
    """
    found = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{1,3})\s*", text)
    if not found or found[2].upper() not in _UNITS:
        raise ValueError("it is not a size such as 9GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def computed_bytes(config: Any, item: int) -> int:
    """Bytes that one token takes while it goes through a layer.

    Its state, normalized state, queries, keys, values and their sum (six times the hidden size at most), and the three
    products of the feed-forward part. A layer that carries a state keeps 32-bit copies of queries, keys and values, of
    their products with each other and with gates: ten times the width of its heads.

    Args:
        config: The text model's configuration.
        item: Bytes per number.
    """
    attending = item * (6 * int(config.hidden_size) + 3 * int(config.intermediate_size))
    if not _stateful_layers(config):
        return attending
    width = config.linear_num_value_heads * max(config.linear_key_head_dim, config.linear_value_head_dim)
    return max(attending, int(item * 8 * config.hidden_size + 4 * 10 * width))


def cached_shape(config: Any) -> tuple[int, int, int]:
    """Layers that have keys, heads and width of the keys of one token, as of its values."""
    return config.num_hidden_layers - _stateful_layers(config), config.num_key_value_heads, _width(config)


def cached_bytes(config: Any, item: int) -> int:
    """Bytes of the keys and values of one token, in all layers that have them: 57,344 at InternVL3-8B."""
    return item * 2 * prod(cached_shape(config))


def state_bytes(config: Any, item: int) -> int:
    """Bytes of the state of one row, in all layers that carry one; it does not grow with the row.

    A matrix of 32-bit numbers for each head, and what the convolution last saw: 52 MB at Qwen3.5-9B.
    """
    if not (layers := _stateful_layers(config)):
        return 0
    keys, values = config.linear_key_head_dim, config.linear_value_head_dim
    seen = 2 * config.linear_num_key_heads * keys + config.linear_num_value_heads * values
    matrices = config.linear_num_value_heads * keys * values
    return int(layers * (4 * matrices + item * config.linear_conv_kernel_dim * seen))


def _stateful_layers(config: Any) -> int:
    """How many layers carry a state from token to token in place of keys and values."""
    return list(getattr(config, "layer_types", None) or ()).count("linear_attention")


def _width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def matrix_bytes(config: Any, item: int) -> int:
    """Bytes of the largest matrix of a layer, as it stands in memory while four-bit weights are used."""
    return item * int(config.hidden_size * config.intermediate_size)


def least_bytes(config: Any, item: int) -> int:
    """Bytes that `LEAST` takes."""
    tokens = LEAST.computed * computed_bytes(config, item) + LEAST.cached * cached_bytes(config, item)
    return matrix_bytes(config, item) + tokens


def token_operations(config: Any) -> int:
    """Floating-point operations of one token in the layers' matrices, two for each of their numbers."""
    heads = 2 * config.num_attention_heads + 2 * config.num_key_value_heads
    numbers = config.hidden_size * (heads * _width(config) + 3 * config.intermediate_size)
    return int(2 * config.num_hidden_layers * numbers)


def row_bytes(config: Any) -> int:
    """Bytes to choose one row's next token from the whole vocabulary: its logits, their 32-bit copy, and the mask."""
    return 16 * int(config.vocab_size)


def tile_bytes(config: Any, numbers: int, item: int, height: int, width: int) -> int:
    """Bytes that one tile takes in the vision tower: one layer's states and products, and its pixels.

    Args:
        config: The vision tower's configuration.
        numbers: What a patch takes in a layer, by `Family.patch_numbers`.
        item: Bytes per number.
        height: The tile's height.
        width: Its width.
    """
    size = config.patch_size
    patch_height, patch_width = (size, size) if isinstance(size, int) else size
    patches = (height // patch_height) * (width // patch_width) + 1
    # Pixels are looked up by 64-bit numbers in a table of 32-bit ones.
    return item * patches * numbers + 3 * height * width * (12 + item)


def tower_room(room: int) -> int:
    """Bytes that one pass through the vision tower may take, of so many."""
    return int(_COMPUTING * room)


def passes(sizes: Sequence[int], room: int) -> Iterator[slice]:
    """Which tiles go through the vision tower together: as many as there is room for, one at least.

    Args:
        sizes: Bytes that each takes.
        room: Bytes of a pass.
    """
    start, taken = 0, 0
    for place, size in enumerate(sizes):
        if place > start and (taken + size > room or place - start == MOST_TILES):
            yield slice(start, place)
            start, taken = place, 0
        taken += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def budget(room: int, config: Any, item: int, *, gpu: bool) -> Budget:
    """How many tokens fit into so many bytes; at least `LEAST`, at most `MOST`, and fewer where they would take long.

    Args:
        room: The bytes.
        config: The text model's configuration.
        item: Bytes per number.
        gpu: Whether a GPU computes.
    """
    room -= _WRITING * row_bytes(config) + matrix_bytes(config, item)
    computed = int(_COMPUTING * room) // computed_bytes(config, item)
    cached = int((1 - _COMPUTING) * room) // cached_bytes(config, item)
    if not gpu:
        computed = min(computed, int(_PATIENCE // token_operations(config)))
    return Budget(min(max(computed, LEAST.computed), MOST.computed), min(max(cached, LEAST.cached), MOST.cached))
