"""Attention of many rows in one line: what a transformers model calls in place of its own, and who looks at whom."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

NAME = "mevlip_packed"

Indices = NDArray[np.int64]
Mask = Callable[[int | None], Any]
"""Which key each query may look at, (rows or 1, queries, keys), by a layer's window; None where all before."""


class Pass(Protocol):
    """What attention has to know of the tokens in the line."""

    def attend(
        self,
        layer: int,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        """Attention of one layer.

        Args:
            layer: The layer's number.
            queries: (heads, tokens, width).
            keys: (fewer heads, tokens, width); each serves several heads of the queries.
            values: As keys.
            scale: Factor of the products.
            window: At how many tokens, itself included, each of them looks; None for all before it.

        Returns:
            (tokens, heads, width).
        """


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
    sliding_window: int | None = None,
    **_options: object,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in each layer; states are (1, heads, tokens, width)."""
    made = packed.attend(module.layer_idx, query[0], key[0], value[0], scaling, sliding_window)
    return made.unsqueeze(0), None


def grouped(
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


def run_mask(line: Indices, start: int, count: int, length: int, mutual: int | None, device: torch.device) -> Mask:
    """What the sequences of a run may look at; nothing has to be said of those that look at all before."""
    ids = line[start : start + count * length].reshape(count, length)

    def make(window: int | None) -> torch.Tensor | None:
        together = ids == mutual
        if not together.any() and (window is None or window >= length):
            return None
        allowed = looked_at(torch.arange(length, device=device), length, window)[None]
        if together.any():
            begins = together & ~np.pad(together, ((0, 0), (1, 0)))[:, :-1]
            part = moved(np.where(together, begins.cumsum(axis=1), 0), device)
            allowed = allowed | ((part[:, :, None] == part[:, None]) & (part[:, None] > 0))
        return allowed

    return cache(make)


def looked_at(asking: torch.Tensor, length: int, window: int | None) -> torch.Tensor:
    """Which of a row's tokens are looked at from places in it, (..., places, length)."""
    back = asking[..., None] - torch.arange(length, device=asking.device)
    return back >= 0 if window is None else (back >= 0) & (back < window)
