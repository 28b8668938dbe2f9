"""Qwen2.5-VL."""

from __future__ import annotations

import pytest

from mevlip.checkpoints.routes import PromptSettings
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import build_prompt
from tests.mevlip.inference.families.answers import (
    AnswersAreTheReferences,
    PositionsAreTransformers,
    PromptsAreTheProcessors,
)

pytestmark = pytest.mark.model
NAME = "qwen2_5_vl"


class TestPrompts(PromptsAreTheProcessors):
    def test_there_is_no_system_turn_where_the_route_has_none(self, encoder: PromptEncoder) -> None:
        prompt = build_prompt("Which?", 2, PromptSettings(), ())
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        assert encoder.render(prompt) == f"<|im_start|>user\n{image * 2}Which?<|im_end|>\n<|im_start|>assistant\n"
        told = build_prompt("Which?", 0, PromptSettings(system="Be brief."), ())
        assert encoder.render(told).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich?")


class TestAnswers(AnswersAreTheReferences, PositionsAreTransformers):
    pass
