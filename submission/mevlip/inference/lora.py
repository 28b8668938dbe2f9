"""Applying adapters with two kernels for each layer, where peft takes six."""

from __future__ import annotations

from typing import Any

import torch

from mevlip.core.errors import CheckpointError

_PARTS = ("lora_A", "lora_B")


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
        adapted = [module for module in model.modules() if hasattr(module, "lora_A")]
        self._layers = [_Layer(module) for module in adapted if _is_plain(module)]
        self._needs_peft = len(self._layers) < len(adapted)

    def use(self, adapter: str | None) -> None:
        """Selects an adapter; None for none."""
        for layer in self._layers:
            layer.use(adapter)
        if self._needs_peft:
            select(self._model, adapter)


def select(model: Any, adapter: str | None) -> None:
    """Selects an adapter in peft's own way; None for none."""
    if adapter is None:
        model.base_model.disable_adapter_layers()
    else:
        model.base_model.enable_adapter_layers()
        model.set_adapter(adapter)


class _Layer:
    """A linear layer with the selected adapter on top.

    Attributes:
        chosen: The adapter's two matrices, transposed, and its scale; None for no adapter.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._base = module.base_layer
        module.forward = self
        self.chosen: tuple[torch.Tensor, torch.Tensor, float] | None = None

    def use(self, adapter: str | None) -> None:
        module = self._module
        if adapter is None or adapter not in module.lora_A:
            self.chosen = None
        else:
            down, up = (getattr(module, part)[adapter].weight for part in _PARTS)
            self.chosen = down.t(), up.t(), float(module.scaling[adapter])

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self._base(states)
        if self.chosen is not None:
            down, up, scale = self.chosen
            made.view(-1, made.shape[-1]).addmm_(states.reshape(-1, states.shape[-1]) @ down, up, alpha=scale)
        return made


def _is_plain(module: Any) -> bool:
    biased = any(part.bias is not None for name in _PARTS for part in getattr(module, name).values())
    return not module.lora_variant and not biased and not getattr(module, "fan_in_fan_out", False)
