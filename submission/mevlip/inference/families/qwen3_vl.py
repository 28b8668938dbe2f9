"""Qwen3-VL: asked and shown pictures as Qwen2.5-VL; what layers of the vision tower see enters several layers.

Its template is the one of the Instruct models; the Thinking ones would begin with thoughts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.inference.families.qwen2_5_vl import _Qwen25VL, load_without_video

if TYPE_CHECKING:
    import torch


class _Qwen3VL(_Qwen25VL):
    template = "qwen3_vl_nothink"

    def load_processor(self, folder: Path) -> Any:
        from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

        return load_without_video(Qwen3VLProcessor, folder)

    def features(self, base: Any, inputs: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        import torch

        made = base.get_image_features(**inputs)
        lengths = [len(one) for one in made.pooler_output]
        # For each token the numbers that go in first stand before those that are added after each of the first layers.
        whole = torch.cat([torch.cat(list(made.pooler_output)), *made.deepstack_features], dim=-1)
        return list(whole.split(lengths))  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def enter(self, states: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> dict[str, Any]:
        import torch

        first, *added = features.to(states.dtype).reshape(len(features), -1, states.shape[1]).unbind(1)
        states[places] = first
        seen = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        seen.index_fill_(0, places, value=True)
        return {"visual_pos_masks": seen[None], "deepstack_visual_embeds": added}

    def patch_numbers(self, config: Any) -> int:
        # Queries and keys are turned in 32 bits.
        return int(12 * config.hidden_size + 2 * config.intermediate_size)


FAMILY = _Qwen3VL()
