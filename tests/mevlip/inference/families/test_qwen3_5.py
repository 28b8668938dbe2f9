"""Qwen3.5, whose layers carry a state from token to token."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mevlip.answers import QuestionSpec
from mevlip.checkpoints.routes import ImageSettings, PromptSettings, Quantization
from mevlip.core.errors import CheckpointError
from mevlip.flare.questions import InputFolder
from mevlip.inference.completion import Request
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.loading import load_base
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.reading import grammar_of
from mevlip.tasks import NO_ADAPTER, TaskType, adapter_names
from tests.mevlip.inference.families.answers import PICTURES, PositionsAreTransformers, PromptsAreTheProcessors
from tests.mevlip.inference.families.conftest import Ask, Pair

pytestmark = pytest.mark.model
NAME = "qwen3_5"
QUESTION = "Which is it? A: This, B: That, C: Neither"


class TestPrompts(PromptsAreTheProcessors):
    @pytest.mark.parametrize("ending", ["<think>\n", "<think>\n\n</think>\n\n", ""])
    def test_it_is_asked_without_what_its_chat_template_begins_the_answer_with(
        self, encoder: PromptEncoder, ending: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = encoder.tokenizer.chat_template.replace("assistant\n<think>\n", f"assistant\n{ending}")
        monkeypatch.setattr(encoder.processor, "chat_template", theirs)
        monkeypatch.setattr(encoder, "_frames", {})
        prompt = build_prompt("Which <think>?", 2, PromptSettings(system="Be brief."), ())
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        assert encoder.render(prompt) == (
            f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{image * 2}Which <think>?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )


class TestPositions(PositionsAreTransformers):
    pass


@pytest.fixture(scope="module")
def model(pair: Pair) -> VisionLanguageModel:
    model = pair[0].model
    assert isinstance(model, VisionLanguageModel)
    return model


def ask_ours(model: VisionLanguageModel, adapter: str, text: str, count: int, task: TaskType | None = None) -> Any:
    """What the predictor's model says, freely or within a task's grammar."""
    model.use(adapter)
    pictures = tuple(model.picture(one, ImageSettings()) for one in PICTURES[:count])
    encoded = model.encode(build_prompt(text, count, PromptSettings(), model.reserved), pictures)
    grammar = grammar_of(task, QuestionSpec(text)) if task else None
    [completion] = model.generate([Request(encoded, pictures, 12, grammar)]).completions
    return completion


def transformers_inputs(model: VisionLanguageModel, text: str, images: list[Image.Image]) -> Any:
    prompt = build_prompt(text, len(images), PromptSettings(), model.reserved)
    return model.encoder.encode([prompt], [images], ImageSettings())


@pytest.mark.parametrize("adapter", [NO_ADAPTER, "counting", "generalist"])
def test_free_answers_are_those_of_a_plain_loop_over_generate(model: VisionLanguageModel, adapter: str) -> None:
    """One after the other on one model: pictures of several shapes, then none, then pictures again."""
    peft, seen = model._model, set()
    for count, text in ((3, "How many?"), (0, "How many are there?"), (1, "Where is it?"), (5, QUESTION), (0, "?")):
        ours = ask_ours(model, adapter, text, count)
        inputs = transformers_inputs(model, text, list(PICTURES[:count]))
        with torch.inference_mode():
            whole = peft.generate(**inputs, max_new_tokens=12)
        theirs = whole[0, inputs["input_ids"].shape[1] :]
        assert ours.text == model.encoder.tokenizer.decode(theirs, skip_special_tokens=True)
        seen.add(ours.text)
    assert len(seen) > 3, "answers depend on what is asked"


def test_a_letter_is_the_likeliest_of_the_options(model: VisionLanguageModel) -> None:
    for count in (0, 2):
        ours = ask_ours(model, "classification", QUESTION, count, TaskType.CLASSIFICATION)
        with torch.inference_mode():
            logits = model._model(**transformers_inputs(model, QUESTION, list(PICTURES[:count]))).logits[0, -1]
        letters = {one: model.encoder.tokenizer.convert_tokens_to_ids(one) for one in "ABC"}
        shares = torch.tensor([logits[token] for token in letters.values()]).softmax(0)
        assert ours.options == pytest.approx(dict(zip(letters, shares.tolist(), strict=True)), abs=1e-4)
        assert ours.text == max(ours.options, key=ours.options.__getitem__)


def test_no_state_is_left_for_the_next_question(model: VisionLanguageModel) -> None:
    def sureness(number: int) -> float:
        return float(ask_ours(model, "counting", f"How many? {number}", number % 3).probability)

    first = [sureness(number) for number in range(6)]
    assert [sureness(number) for number in (3, 1, 4, 0, 2, 5)] == [first[number] for number in (3, 1, 4, 0, 2, 5)]
    assert len(set(first)) == 6


def test_all_examples(pair: Pair, ask: Ask, examples: InputFolder) -> None:
    answers, cost = ask(pair[0], examples.questions)
    assert {one.task for one in answers} == set(TaskType) and len(answers) == 54
    assert not [one.reason for one in answers if one.failed]
    assert len({one.text for one in answers}) > 10
    assert cost.shared_prompts == 0, "each is asked alone"
    part = examples.questions[::-4]
    again, _ = ask(pair[0], part, batch_tokens=700)
    texts = {one.position: one.text for one in answers}
    assert [one.text for one in again] == [texts[question.position] for question in part]


def test_weights_that_predict_several_tokens_are_left_out(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """The hub's files hold them; what else does not belong to the model is refused."""
    base = Path(shutil.copytree(tiny_checkpoint(NAME) / "base", tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    for name in ("mtp.norm.weight", "more.norm.weight"):
        (base / "model.safetensors").unlink()
        save_file({**weights, name: torch.ones(64)}, base / "model.safetensors", {"format": "pt"})
        if name.startswith("mtp"):
            load_base(base, Quantization(), torch.device("cpu"))
        else:
            with pytest.raises(CheckpointError, match="unexpected keys"):
                load_base(base, Quantization(), torch.device("cpu"))


def test_each_adapter_changes_layers_with_a_state_too(model: VisionLanguageModel) -> None:
    names = {name for name, _ in model._model.named_parameters() if "linear_attn" in name and "lora_B" in name}
    for adapter in adapter_names():
        own = {name.split(".")[-4] for name in names if f".{adapter}." in name}
        assert own == {"in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"}
