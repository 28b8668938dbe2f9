"""One pass of many rows through a language model without padding: all tokens stand in one line.

Everything but attention looks at one token at a time, so rows need no common length there. Attention looks up in the
pass which tokens belong together. What questions on the same pictures have in common stands in the line once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache as memoized

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from mevlip.inference.attention import Indices, Mask, grouped, looked_at, moved, run_mask

_LOOSE = 1.25
"""How much longer than the shortest rest of a block its longest may be."""
_LONGEST_REST = 1_024
"""Tokens up to which a row shares its beginning: the mask of a longer rest would cost more than is saved."""

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
        positions: Position ids of its tokens, (tokens,) or (axes, tokens); None for 0, 1, 2, and so on.
    """

    group: object
    tokens: Sequence[int]
    shared: int
    kept: int | None = None
    positions: Indices | None = None

    @property
    def position_ids(self) -> Indices:
        """Position ids of its tokens, counted from 0 where none are given."""
        return np.arange(len(self.tokens)) if self.positions is None else self.positions


@dataclass(frozen=True)
class Room:
    """What a cache has room for.

    Attributes:
        tokens: Most tokens of a row.
        shape: Layers, heads and width of a token's keys, and of its values.
        dtype: Their type.
    """

    tokens: int
    shape: tuple[int, int, int]
    dtype: torch.dtype


class Cache:
    """Keys and values of rows whose answers are being written; each row fills its place from the left.

    Rows that are being written are the first ones: one that is done changes places with the last of them.

    Args:
        lengths: How many tokens each row has, by its number.
        room: What there is room for.
        following: The position of each row's next token, (rows,) or (axes, rows).
        device: Where they are kept.

    Attributes:
        room: How many tokens each row may come to have.
        shares: How much of each adapter each row gets, (rows, adapters); None where all do alike.
    """

    def __init__(self, lengths: Sequence[int], room: Room, following: Indices, device: torch.device) -> None:
        self.lengths = np.array(lengths, dtype=np.int64)
        self.following = following
        self.room = room.tokens
        if device.type == "cuda":
            # In a piece of its own: what stays beside it in a larger one, a recorded pass could not use.
            torch.cuda.empty_cache()
        layers, heads, width = room.shape
        # Not empty: of what is masked, not-a-number would still be added.
        self._kept = torch.zeros(layers, 2, len(lengths), heads, room.tokens, width, dtype=room.dtype, device=device)
        self.shares: torch.Tensor | None = None

    def fill(self, layer: int, keys: torch.Tensor, values: torch.Tensor, places: torch.Tensor) -> None:
        """Takes the keys and values that a layer has of prompts.

        Args:
            layer: The layer's number.
            keys: (heads, tokens, width).
            values: As keys.
            places: Where the tokens of each row stand in the line, (rows, longest row); beyond a row's end anything.
        """
        for store, states in zip(self._kept[layer], (keys, values), strict=True):
            store[:, :, : places.shape[1]] = states[:, places].transpose(0, 1)

    def advance(self, count: int) -> tuple[Indices, Indices]:
        """Counts one more token of each of the first rows; returns its places in the rows and its position ids."""
        places, positions = self.lengths[:count].copy(), self.following[..., :count].copy()
        self.lengths[:count] += 1
        self.following[..., :count] += 1
        return places, positions

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
        for store, states in zip(self._kept[layer], (keys, values), strict=True):
            store[slots, :, places] = states.transpose(0, 1)
        known, told = self._kept[layer, :, : len(slots), :, :length]
        return known, told

    def move(self, source: int, target: int) -> None:
        """Puts one row in another's place."""
        self.lengths[target] = self.lengths[source]
        self.following[..., target] = self.following[..., source]
        self._kept[:, :, target] = self._kept[:, :, source]
        if self.shares is not None:
            self.shares[target] = self.shares[source]


@dataclass
class _Run:
    """Sequences of equal length that stand one behind the other; each attends to itself alone.

    Attributes:
        start: Place of the first one's first token in the line.
        count: How many they are.
        length: Tokens of each.
        mask: Which key each query may look at.
    """

    start: int
    count: int
    length: int
    mask: Mask


@dataclass
class _Block:
    """Rests of rows, several of like length: what attends to what.

    Attributes:
        queries: Places in the line of the tokens after the beginning, (rows, longest rest).
        keys: Places of the beginning and of the same tokens, (rows, longest row).
        mask: Which key each query may look at.
        filled: Which of `queries` are tokens, as places in it once it is flat.
        targets: Their places in the line.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    mask: Mask
    filled: torch.Tensor
    targets: torch.Tensor


@dataclass
class PromptPass:
    """The pass that takes the prompts.

    Attributes:
        tokens: The line's token ids.
        positions: Their positions in their prompts, (tokens,) or (axes, tokens).
        last: Where each row's last token stands.
        order: The groups' first rows in the order in which their beginnings stand in the line.
        cache: Receives keys and values of rows that are kept.
    """

    tokens: Indices
    positions: Indices
    last: Indices
    order: list[int]
    cache: Cache | None
    _runs: list[_Run] = field(default_factory=list)
    _blocks: list[_Block] = field(default_factory=list)
    _kept: torch.Tensor | None = None

    @classmethod
    def lay_out(
        cls, rows: Sequence[Row], device: torch.device, room: Room | None = None, mutual: int | None = None
    ) -> PromptPass:
        """Puts prompts in a line.

        Args:
            rows: The prompts.
            device: Where attention is computed.
            room: What there is room for in the cache; None where no row is kept.
            mutual: Id of a token of which those that stand together look at each other, later ones too.
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
        runs: list[tuple[int, int, int]] = []  # start, how many, length
        for length, own in sequences:
            start = len(tokens)
            tokens += rows[own[0]].tokens[:length]
            positions.append(rows[own[0]].position_ids[..., :length])
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
            positions.append(row.position_ids[..., row.shared :])
            places[number] = np.concatenate([places[number], np.arange(start, len(tokens))])
        kept = sorted((row.kept, number) for number, row in enumerate(rows) if row.kept is not None)
        line = np.array(tokens)
        made = cls(
            line,
            np.concatenate(positions, axis=-1),
            np.array([place[-1] for place in places]),
            [own[0] for _, own in sequences],
            None,
            [_Run(*run, mask=run_mask(line, *run, mutual, device)) for run in runs],
        )
        if kept and room:
            following = np.stack([rows[number].position_ids.max() + 1 for _, number in kept])
            if made.positions.ndim > 1:
                following = np.tile(following, (len(made.positions), 1))
            made.cache = Cache([len(places[number]) for _, number in kept], room, following, device)
            made._kept = moved(_padded([places[number] for _, number in kept]), device)
        parts = [(rows[number].shared, places[number]) for number in rests]
        made._blocks = [_block(alike, device) for alike in _alike(parts)]
        return made

    def attend(
        self,
        layer: int,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        """See `Pass`."""
        if self.cache is not None and self._kept is not None:
            self.cache.fill(layer, keys, values, self._kept)
        made = queries.new_empty(queries.shape[1], queries.shape[0], queries.shape[2])
        for run in self._runs:
            end = run.start + run.count * run.length
            asked, known, told = (
                states[:, run.start : end].reshape(len(states), run.count, run.length, -1).transpose(0, 1)
                for states in (queries, keys, values)
            )
            if (mask := run.mask(window)) is None:
                out = scaled_dot_product_attention(asked, known, told, is_causal=True, scale=scale, enable_gqa=True)
                made[run.start : end] = out.transpose(1, 2).flatten(0, 1)
            else:
                made[run.start : end] = grouped(asked, known, told, mask, scale).flatten(0, 1)
        for block in self._blocks:
            asked, known, told = (
                states[:, places].transpose(0, 1)
                for states, places in ((queries, block.queries), (keys, block.keys), (values, block.keys))
            )
            out = grouped(asked, known, told, block.mask(window), scale)
            made[block.targets] = out.flatten(0, 1)[block.filled]
        return made


class StepPass:
    """A pass that takes one token of each row that is being written.

    Args:
        cache: Their keys and values so far.
        places: Where the tokens of its first rows go, (rows,); see `Cache.advance`.
        length: As many places of each row are looked at, all that are filled among them.
    """

    def __init__(self, cache: Cache, places: torch.Tensor, length: int) -> None:
        self._cache = cache
        self._length = length
        self._slots = torch.arange(len(places), device=places.device)
        self._places = places
        self._mask: Mask = memoized(lambda window: looked_at(places[:, None], length, window))

    def attend(
        self,
        layer: int,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        """See `Pass`."""
        known, told = self._cache.append(layer, keys, values, self._slots, self._places, self._length)
        return grouped(queries.transpose(0, 1).unsqueeze(2), known, told, self._mask(window), scale).squeeze(1)


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
    shared, length = parts[0][0], keys.shape[1]
    asking = torch.arange(shared, shared + queries.shape[1], device=device)
    filled = [number * queries.shape[1] + np.arange(len(rest)) for number, rest in enumerate(rests)]
    return _Block(
        moved(queries, device),
        moved(keys, device),
        memoized(lambda window: looked_at(asking, length, window)[None]),
        moved(np.concatenate(filled), device),
        moved(np.concatenate(rests), device),
    )


def _padded(lists: Sequence[Indices]) -> Indices:
    made = np.zeros((len(lists), max(map(len, lists))), dtype=np.int64)
    for number, one in enumerate(lists):
        made[number, : len(one)] = one
    return made
