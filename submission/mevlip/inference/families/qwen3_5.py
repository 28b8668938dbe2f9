"""Qwen3.5: shown pictures as Qwen3-VL; most layers of its language model carry a state from token to token.

Its chat template begins the answer with thoughts, or with none between two marks; LLaMA-Factory's template for training
without thoughts begins with neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mevlip.inference.families.base import Family
from mevlip.inference.families.qwen3_vl import _Qwen3VL

if TYPE_CHECKING:
    import torch

_THOUGHTS = re.compile(r"(?<=<\|im_start\|>assistant\n)<think>\s*(?:</think>\s*)?\Z")


class _Qwen35(_Qwen3VL):
    template = "qwen3_5_nothink"
    stateful = True

    def as_trained(self, text: str, system: str) -> str:
        return _THOUGHTS.sub("", text)

    def features(self, base: Any, inputs: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        return Family.features(self, base, inputs)  # no layer but the first gets any

    def enter(self, states: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> dict[str, Any]:
        return Family.enter(self, states, places, features)


FAMILY = _Qwen35()
