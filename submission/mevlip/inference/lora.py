"""Applying adapters with few kernels: two for each layer at most, where peft takes six.

Layers on the same states, such as those of queries, keys and values, share the first of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mevlip.core.errors import CheckpointError

_PARTS = ("lora_A", "lora_B")
_ON_EQUAL_STATES = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that a transformers block calls one after the other on the same states."""


def check_targets(model: Any, name: str) -> None:
    """Raises CheckpointError where an adapter changes something else than the language model.

    What the vision tower and the projector make of a picture is computed once for all adapters.
    """
    for parameter, _ in model.named_parameters():
        if "lora_" in parameter and f".{name}." in parameter and ".language_model." not in parameter:
            raise CheckpointError(
                f"adapter {name!r} changes {parameter.partition('.lora_')[0].removeprefix('base_model.model.')}, which "
                "is not in the language model",
                "Train it with the vision tower and the projector frozen, as the configs do.",
            )


class Adapters:
    """The adapters of a peft model, applied by our own code.

    Only what LLaMA-Factory's plain LoRA is made of: products of two matrices. A layer of another kind keeps peft's way.

    Args:
        model: The peft model; its layers are changed.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        adapted = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
        plain = {name: module for name, module in adapted.items() if _is_plain(module)}
        self._groups = [_Group(modules) for modules in _on_equal_states(plain)]
        self._needs_peft = len(plain) < len(adapted)

    def use(self, adapter: str | None) -> None:
        """Selects an adapter; None for none."""
        for group in self._groups:
            group.use(adapter)
        if self._needs_peft:
            select(self._model, adapter)


def select(model: Any, adapter: str | None) -> None:
    """Selects an adapter in peft's own way; None for none."""
    if adapter is None:
        model.base_model.disable_adapter_layers()
    else:
        model.base_model.enable_adapter_layers()
        model.set_adapter(adapter)


class _Group:
    """Linear layers on the same states, with the selected adapter on top: its first product is one for all of them."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self._layers = [_Layer(module, self) for module in modules]
        self._down = torch.empty(0)
        self._sharing = 0
        self._waiting = 0
        self._states: torch.Tensor | None = None
        self._product: torch.Tensor | None = None

    def use(self, adapter: str | None) -> None:
        """Selects an adapter, where these layers have it; None for none."""
        downs: list[torch.Tensor] = []
        for layer in self._layers:
            layer.chosen = None
            if adapter is not None and adapter in layer.module.lora_A:
                down, up = (getattr(layer.module, part)[adapter].weight for part in _PARTS)
                start = sum(map(len, downs))
                layer.chosen = slice(start, start + len(down)), up.t(), float(layer.module.scaling[adapter])
                downs.append(down)
        self._down = torch.cat(downs).t() if downs else torch.empty(0)
        self._sharing = len(downs)

    def product(self, states: torch.Tensor) -> torch.Tensor:
        """The states by the first matrices of all layers, (tokens, sum of ranks); forgotten once each layer had it."""
        if states is not self._states or self._product is None:
            self._states, self._waiting = states, self._sharing
            self._product = states.reshape(-1, states.shape[-1]) @ self._down
        product = self._product
        self._waiting -= 1
        if not self._waiting:
            self._states = self._product = None
        return product


class _Layer:
    """A linear layer with the selected adapter on top.

    Attributes:
        module: The layer as peft made it.
        chosen: Where in the group's product its own part is, the adapter's second matrix, transposed, and its scale;
            None for no adapter.
    """

    def __init__(self, module: Any, group: _Group) -> None:
        self.module = module
        self._base = module.base_layer
        self._group = group
        module.forward = self
        self.chosen: tuple[slice, torch.Tensor, float] | None = None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self._base(states)
        if self.chosen is not None:
            part, up, scale = self.chosen
            made.view(-1, made.shape[-1]).addmm_(self._group.product(states)[:, part], up, alpha=scale)
        return made


def _on_equal_states(modules: Mapping[str, Any]) -> list[list[Any]]:
    """Groups layers, by their names in the model."""
    leaders = {name: group[0] for group in _ON_EQUAL_STATES for name in group}
    groups: dict[tuple[str, str], list[Any]] = {}
    for path, module in modules.items():
        block, _, name = path.rpartition(".")
        groups.setdefault((block, leaders.get(name, name)), []).append(module)
    return list(groups.values())


def _is_plain(module: Any) -> bool:
    biased = any(part.bias is not None for name in _PARTS for part in getattr(module, name).values())
    return not module.lora_variant and not biased and not getattr(module, "fan_in_fan_out", False)
