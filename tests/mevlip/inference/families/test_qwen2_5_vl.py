"""Qwen2.5-VL."""

from __future__ import annotations

import pytest
import torch

from mevlip.checkpoints.routes import ImageSettings, PromptSettings
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from tests.mevlip.inference.families.answers import PICTURES, AnswersAreTheReferences, PromptsAreTheProcessors
from tests.mevlip.inference.families.conftest import Pair

pytestmark = pytest.mark.model
NAME = "qwen2_5_vl"


class TestPrompts(PromptsAreTheProcessors):
    def test_there_is_no_system_turn_where_the_route_has_none(self, encoder: PromptEncoder) -> None:
        prompt = build_prompt("Which?", 2, PromptSettings(), ())
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        assert encoder.render(prompt) == f"<|im_start|>user\n{image * 2}Which?<|im_end|>\n<|im_start|>assistant\n"
        told = build_prompt("Which?", 0, PromptSettings(system="Be brief."), ())
        assert encoder.render(told).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich?")


class TestAnswers(AnswersAreTheReferences):
    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_positions_are_those_of_transformers(self, pair: Pair, count: int) -> None:
        model = pair[1].model
        assert isinstance(model, VisionLanguageModel)
        encoder, shown = model.encoder, PICTURES[:count]
        prompt = build_prompt("Which of these is it?", count, PromptSettings(), ())
        ours = encoder.encode_prompt(prompt, [encoder.picture(one, ImageSettings()) for one in shown])
        theirs = encoder.encode([prompt], [list(shown)], ImageSettings())
        positions, _ = model._model.get_base_model().model.get_rope_index(
            theirs["input_ids"], theirs["mm_token_type_ids"], theirs.get("image_grid_thw")
        )
        assert ours.positions is not None
        assert torch.equal(torch.from_numpy(ours.positions), positions[:, 0])
