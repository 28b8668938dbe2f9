"""Gemma 3, with a small tokenizer in place of its own, which is not to be had offline."""

from __future__ import annotations

import pytest

from mevlip.checkpoints.routes import ImageSettings, PromptSettings
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import build_prompt
from tests.mevlip.inference.families.answers import PICTURES, AnswersAreTheReferences, PromptsAreTheProcessors

pytestmark = pytest.mark.model
NAME = "gemma3"


class TestPrompts(PromptsAreTheProcessors):
    def test_it_is_asked_as_llamafactory_does(self, encoder: PromptEncoder) -> None:
        """One token of a beginning, the system text in the user's turn, two line breaks around each image."""
        prompt = build_prompt("Which?", 2, PromptSettings(system="Be brief."), ())
        image = f"\n\n<start_of_image>{'<image_soft_token>' * 16}<end_of_image>\n\n"
        encoded = encoder.encode_prompt(prompt, [encoder.picture(one, ImageSettings()) for one in PICTURES[:2]])
        assert encoder.tokenizer.decode(encoded.tokens) == (
            f"<bos><start_of_turn>user\nBe brief.\n\n{image * 2}Which?<end_of_turn>\n<start_of_turn>model\n"
        )


class TestAnswers(AnswersAreTheReferences):
    pass
