"""Qwen3-VL."""

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
NAME = "qwen3_vl"


class TestPrompts(PromptsAreTheProcessors):
    def test_it_is_asked_as_llamafactory_does(self, encoder: PromptEncoder) -> None:
        prompt = build_prompt("Which?", 2, PromptSettings(system="Be brief."), ())
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        assert encoder.render(prompt) == (
            f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{image * 2}Which?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )


class TestAnswers(AnswersAreTheReferences, PositionsAreTransformers):
    pass
