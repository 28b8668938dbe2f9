"""Applying adapters with few kernels: two for each layer at most, where peft takes six.

Layers on the same states, such as those of queries, keys and values, share the first of the two. Adapters that are
active together are one of the sum of their ranks. Where each token has shares of them, one more kernel weighs the first
product of such layers.
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
        self._weights: list[_Weights] = []

    @property
    def can_weigh(self) -> bool:
        """Whether tokens can have shares of adapters: peft's way, which some layers may need, knows none."""
        return not self._needs_peft

    def use(self, adapters: Sequence[str]) -> None:
        """Selects adapters, whose changes of the base are added; none for the base alone."""
        made: dict[tuple[tuple[int, int], ...], _Weights] = {}
        for group in self._groups:
            group.use(adapters, made)
        self._weights = list(made.values())
        if self._needs_peft:
            select(self._model, adapters)

    def weigh(self, shares: torch.Tensor) -> None:
        """Says how much of each selected adapter's change the tokens of the coming passes get; selecting ends it.

        Args:
            shares: (tokens, adapters), in the order in which they were selected.
        """
        for weights in self._weights:
            weights.now = shares[:, weights.owners]


def select(model: Any, adapters: Sequence[str]) -> None:
    """Selects adapters in peft's own way; none for the base alone."""
    if adapters:
        model.base_model.enable_adapter_layers()
        model.base_model.set_adapter(list(adapters))
    else:
        model.base_model.disable_adapter_layers()


class _Weights:
    """What weighs the columns of a product; groups whose columns belong to the same adapters have one together.

    Attributes:
        owners: The adapter of each column, by its place among those selected.
        now: What its columns are multiplied by, (tokens, sum of ranks); None for 1.
    """

    def __init__(self, ranks: Sequence[tuple[int, int]], device: torch.device) -> None:
        owners = [owner for owner, rank in ranks for _ in range(rank)]
        self.owners = torch.tensor(owners, device=device)
        self.now: torch.Tensor | None = None


class _Group:
    """Linear layers on the same states, with selected adapters on top: their first product is one for all of them."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self._layers = [_Layer(module, self) for module in modules]
        self._down = torch.empty(0)
        self._weights: _Weights | None = None
        self._sharing = 0
        self._waiting = 0
        self._states: torch.Tensor | None = None
        self._product: torch.Tensor | None = None

    def use(self, adapters: Sequence[str], made: dict[tuple[tuple[int, int], ...], _Weights]) -> None:
        """Selects adapters, where these layers have them.

        Args:
            adapters: Their names.
            made: Weights of other groups by the adapter and rank of each of their parts; its own are added.
        """
        downs: list[torch.Tensor] = []
        ranks: list[tuple[int, int]] = []
        self._sharing = 0
        for layer in self._layers:
            layer.chosen = None
            own = [name for name in adapters if name in layer.module.lora_A]
            if own:
                start = sum(map(len, downs))
                downs += [layer.module.lora_A[name].weight for name in own]
                ranks += [(adapters.index(name), len(layer.module.lora_A[name].weight)) for name in own]
                layer.chosen = slice(start, sum(map(len, downs))), *_second(layer.module, own)
                self._sharing += 1
        self._down = torch.cat(downs).t() if downs else torch.empty(0)
        self._weights = None
        if downs:
            key = tuple(ranks)
            if key not in made:
                made[key] = _Weights(key, self._down.device)
            self._weights = made[key]

    def product(self, states: torch.Tensor) -> torch.Tensor:
        """The states by the first matrices of all layers, (tokens, sum of ranks); forgotten once each layer had it."""
        if states is not self._states or self._product is None:
            self._states, self._waiting = states, self._sharing
            self._product = states.reshape(-1, states.shape[-1]) @ self._down
            if self._weights is not None and self._weights.now is not None:
                self._product *= self._weights.now
        product = self._product
        self._waiting -= 1
        if not self._waiting:
            self._states = self._product = None
        return product


class _Layer:
    """A linear layer with the selected adapters on top.

    Attributes:
        module: The layer as peft made it.
        chosen: Where in the group's product its own part is, the second matrix, transposed, and its scale; None for no
            adapter.
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
            product = self._group.product(states)[:, part]
            if made.requires_grad:  # four-bit layers forbid changing what a gradient goes through
                return torch.addmm(made.view(-1, made.shape[-1]), product, up, alpha=scale).view_as(made)
            made.view(-1, made.shape[-1]).addmm_(product, up, alpha=scale)
        return made


def _second(module: Any, adapters: Sequence[str]) -> tuple[torch.Tensor, float]:
    """The second matrices of adapters below each other, (sum of ranks, width), and what their product is scaled by."""
    scales = [float(module.scaling[name]) for name in adapters]
    ups = [module.lora_B[name].weight.t() for name in adapters]
    if len(set(scales)) == 1:
        return ups[0] if len(ups) == 1 else torch.cat(ups), scales[0]
    return torch.cat([up * scale for up, scale in zip(ups, scales, strict=True)]), 1.0


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
