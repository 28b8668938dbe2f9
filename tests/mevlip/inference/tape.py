"""A stand-in for CUDA graphs on the CPU: what torch ran is run again, to the same places, Python is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mevlip.inference.steps import Replay


class Tape(TorchDispatchMode):
    """Keeps which operators ran on which tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in _tensors((args, kwargs))}
        own = [one for one in _tensors(made) if one.untyped_storage().data_ptr() not in given]
        if own or function._schema.is_mutable:  # all else are views
            self.ran.append((function, args, kwargs or {}, own))
        return made

    def replay(self) -> None:
        """Runs all again, to the same places in memory."""
        for function, args, kwargs, own in self.ran:
            made = function(*args, **kwargs)
            for target, source in zip(own, _tensors(made), strict=False):
                target.copy_(source)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [one for one in tree_leaves(tree) if isinstance(one, torch.Tensor)]


def record_tape(function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Replay]:
    with Tape() as tape:
        made = function()
    return made, tape.replay
