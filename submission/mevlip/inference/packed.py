"""One pass of many rows through a language model without padding: all tokens stand in one line.

Everything but attention looks at one token at a time, so rows need no common length there. Attention looks up in the
pass which tokens belong together. What questions on the same pictures have in common stands in the line once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

NAME = "mevlip_packed"
_LOOSE = 1.25
"""How much longer than the shortest rest of a block its longest may be."""
_LONGEST_REST = 1_024
"""Tokens up to which a row shares its beginning: the mask of a longer rest would cost more than is saved."""

Indices = NDArray[np.int64]
_Part = tuple[int, Indices]
"""Length of a row's beginning, and where its tokens stand in the line."""


@dataclass(frozen=True)
class Row:
    """A prompt in the line.

    Attributes:
        group: What is equal for rows that share their beginning.
        tokens: Its token ids.
        shared: How many of them are the beginning.
        kept: Number of the row in the cache; None where its keys and values are not needed again.
    """

    group: object
    tokens: Sequence[int]
    shared: int
    kept: int | None = None


class Pass(Protocol):
    """What attention has to know of the tokens in the line."""

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention of one layer.

        Args:
            layer: The layer's number.
            queries: (heads, tokens, width).
            keys: (fewer heads, tokens, width); each serves several heads of the queries.
            values: As keys.
            scale: Factor of the products.

        Returns:
            (tokens, heads, width).
        """


class Cache:
    """Keys and values of rows whose answers are being written; each row fills its place from the left.

    Rows that are being written are the first ones: one that is done changes places with the last of them.

    Args:
        lengths: How many tokens each row has, by its number.
        room: How many each may come to have.
    """

    def __init__(self, lengths: Sequence[int], room: int) -> None:
        self.lengths = np.array(lengths, dtype=np.int64)
        self._room = room
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []

    def fill(self, keys: torch.Tensor, values: torch.Tensor, places: torch.Tensor) -> None:
        """Takes the keys and values of the next layer.

        Args:
            keys: (heads, tokens, width).
            values: As keys.
            places: Where the tokens of each row stand in the line, (rows, longest row); beyond a row's end anything.
        """
        rows, length = places.shape
        for store, states in ((self._keys, keys), (self._values, values)):
            # Not empty: of what is masked, not-a-number would still be added.
            kept = states.new_zeros(rows, states.shape[0], self._room, states.shape[2])
            kept[:, :, :length] = states[:, places].transpose(0, 1)
            store.append(kept)

    def append(
        self,
        layer: int,
        keys: torch.Tensor,
        values: torch.Tensor,
        slots: torch.Tensor,
        places: torch.Tensor,
        length: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds one token to each of the first rows; returns their keys and values up to a length."""
        found = []
        for store, states in ((self._keys[layer], keys), (self._values[layer], values)):
            store[slots, :, places] = states.transpose(0, 1)
            found.append(store[: len(slots), :, :length])
        return found[0], found[1]

    def move(self, source: int, target: int) -> None:
        """Puts one row in another's place."""
        self.lengths[target] = self.lengths[source]
        for store in (*self._keys, *self._values):
            store[target] = store[source]


@dataclass
class _Block:
    """Rests of rows, several of like length: what attends to what.

    Attributes:
        queries: Places in the line of the tokens after the beginning, (rows, longest rest).
        keys: Places of the beginning and of the same tokens, (rows, longest row).
        mask: Which key each query may look at, (1, longest rest, longest row).
        filled: Which of `queries` are tokens, as places in it once it is flat.
        targets: Their places in the line.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    filled: torch.Tensor
    targets: torch.Tensor


@dataclass
class PromptPass:
    """The pass that takes the prompts.

    Attributes:
        tokens: The line's token ids.
        positions: Their positions in their prompts.
        last: Where each row's last token stands.
        order: The groups' first rows in the order in which their beginnings stand in the line.
        cache: Receives keys and values of rows that are kept.
    """

    tokens: Indices
    positions: Indices
    last: Indices
    order: list[int]
    cache: Cache | None
    _runs: list[tuple[int, int, int]] = field(default_factory=list)
    _blocks: list[_Block] = field(default_factory=list)
    _kept: torch.Tensor | None = None

    @classmethod
    def lay_out(cls, rows: Sequence[Row], device: torch.device, room: int = 0) -> PromptPass:
        """Puts prompts in a line.

        Args:
            rows: The prompts.
            device: Where attention is computed.
            room: Tokens that a row of the cache has room for.
        """
        groups: dict[object, list[int]] = {}
        for number, row in enumerate(rows):
            shares = row.shared and len(row.tokens) - row.shared <= _LONGEST_REST
            groups.setdefault((row.group, row.shared) if shares else number, []).append(number)
        # A row that shares nothing is one causal sequence with its beginning, and of equal lengths one product is made.
        sequences = sorted(
            ((rows[own[0]].shared if len(own) > 1 else len(rows[own[0]].tokens), own) for own in groups.values()),
            key=lambda sequence: sequence[0],
        )
        tokens: list[int] = []
        positions: list[Indices] = []
        places: list[Indices] = [np.empty(0, np.int64)] * len(rows)
        runs: list[tuple[int, int, int]] = []
        for length, own in sequences:
            start = len(tokens)
            tokens += rows[own[0]].tokens[:length]
            positions.append(np.arange(length))
            for number in own:
                places[number] = np.arange(start, start + length)
            if runs and runs[-1][2] == length:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
            else:
                runs.append((start, 1, length))
        rests = [number for _, own in sequences if len(own) > 1 for number in own]
        for number in rests:
            row, start = rows[number], len(tokens)
            tokens += row.tokens[row.shared :]
            positions.append(np.arange(row.shared, len(row.tokens)))
            places[number] = np.concatenate([places[number], np.arange(start, len(tokens))])
        kept = sorted((row.kept, number) for number, row in enumerate(rows) if row.kept is not None)
        made = cls(
            np.array(tokens),
            np.concatenate(positions),
            np.array([place[-1] for place in places]),
            [own[0] for _, own in sequences],
            Cache([len(places[number]) for _, number in kept], room) if kept else None,
            runs,
        )
        if kept:
            made._kept = moved(_padded([places[number] for _, number in kept]), device)
        parts = [(rows[number].shared, places[number]) for number in rests]
        made._blocks = [_block(alike, device) for alike in _alike(parts)]
        return made

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See `Pass`."""
        if self.cache is not None and self._kept is not None:
            self.cache.fill(keys, values, self._kept)
        made = queries.new_empty(queries.shape[1], queries.shape[0], queries.shape[2])
        for start, count, length in self._runs:
            end = start + count * length
            asked, known, told = (
                states[:, start:end].reshape(len(states), count, length, -1).transpose(0, 1)
                for states in (queries, keys, values)
            )
            out = scaled_dot_product_attention(asked, known, told, is_causal=True, scale=scale, enable_gqa=True)
            made[start:end] = out.transpose(1, 2).flatten(0, 1)
        for block in self._blocks:
            asked, known, told = (
                states[:, places].transpose(0, 1)
                for states, places in ((queries, block.queries), (keys, block.keys), (values, block.keys))
            )
            out = _grouped(asked, known, told, block.mask, scale)
            made[block.targets] = out.flatten(0, 1)[block.filled]
        return made


class StepPass:
    """A pass that takes one token of each row that is being written.

    Args:
        cache: Their keys and values so far; counts the new tokens.
        count: How many rows, the first of the cache.
        device: Where attention is computed.
    """

    def __init__(self, cache: Cache, count: int, device: torch.device) -> None:
        self._cache = cache
        self.positions = cache.lengths[:count].copy()
        cache.lengths[:count] += 1
        self._length = int(cache.lengths[:count].max())
        self._slots = torch.arange(count, device=device)
        self._places = moved(self.positions, device)
        known = np.arange(self._length) < cache.lengths[:count, None]
        self._mask = moved(known, device)[:, None]

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See `Pass`."""
        known, told = self._cache.append(layer, keys, values, self._slots, self._places, self._length)
        return _grouped(queries.transpose(0, 1).unsqueeze(2), known, told, self._mask, scale).squeeze(1)


def moved(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """An array on a device, without waiting for what the device is doing.

    CUDA has taken what comes from pageable memory once the call returns, so that the array may be altered.
    """
    return torch.from_numpy(array).to(device, non_blocking=True)


def install(config: Any) -> None:
    """Makes a language model of this configuration attend as the pass says that it is given as `packed`."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, _attention)
    config._attn_implementation = NAME


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: object,
    *,
    packed: Pass,
    scaling: float,
    **_options: object,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in each layer; states are (1, heads, tokens, width)."""
    return packed.attend(module.layer_idx, query[0], key[0], value[0], scaling).unsqueeze(0), None


def _grouped(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention under a mask, where each head of the keys serves several of the queries.

    These stand below each other as more queries: no key is copied, and kernels that know of no such heads can be used.

    Args:
        queries: (rows, heads, queries, width).
        keys: (rows, fewer heads, keys, width).
        values: As keys.
        mask: (rows or 1, queries, keys).
        scale: Factor of the products.

    Returns:
        (rows, queries, heads, width).
    """
    rows, heads, count, width = queries.shape
    several = heads // keys.shape[1]
    stacked = queries.reshape(rows, keys.shape[1], several * count, width)
    allowed = mask.repeat(1, several, 1).unsqueeze(1) if count > 1 else mask.unsqueeze(1)
    out = scaled_dot_product_attention(stacked, keys, values, attn_mask=allowed, scale=scale)
    return out.reshape(rows, heads, count, width).transpose(1, 2)


def _alike(parts: Sequence[_Part]) -> list[list[_Part]]:
    """Rows that can stand in one block: their beginnings are equally long, the rests nearly."""
    blocks: list[list[_Part]] = []
    for shared, places in sorted(parts, key=lambda part: (part[0], len(part[1]))):
        first = blocks[-1][0] if blocks else (0, places)
        if shared == first[0] and len(places) - shared <= _LOOSE * (len(first[1]) - shared):
            blocks[-1].append((shared, places))
        else:
            blocks.append([(shared, places)])
    return blocks


def _block(parts: Sequence[_Part], device: torch.device) -> _Block:
    rests = [places[shared:] for shared, places in parts]
    queries, keys = _padded(rests), _padded([places for _, places in parts])
    # A query looks at its beginning and at what comes no later; beyond a rest's end at something, it does not matter.
    shared = parts[0][0]
    mask = np.tri(queries.shape[1], keys.shape[1], shared, dtype=bool)
    filled = [number * queries.shape[1] + np.arange(len(rest)) for number, rest in enumerate(rests)]
    arrays = (queries, keys, mask[None], np.concatenate(filled), np.concatenate(rests))
    return _Block(*(moved(array, device) for array in arrays))


def _padded(lists: Sequence[Indices]) -> Indices:
    made = np.zeros((len(lists), max(map(len, lists))), dtype=np.int64)
    for number, one in enumerate(lists):
        made[number, : len(one)] = one
    return made
