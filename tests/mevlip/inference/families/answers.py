"""What holds for every family: its answers are those of transformers' own generate. Tests inherit it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings, PromptSettings
from mevlip.flare.pixels import fit_pixel_budget
from mevlip.flare.questions import InputFolder, Question
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.inference.steps import Recorder
from mevlip.settings import AnswerSettings
from mevlip.tasks import NO_ADAPTER, TaskType, adapter_names
from tests.conftest import EXAMPLES
from tests.mevlip.inference.families.conftest import Ask, Pair
from tests.mevlip.inference.tape import record_tape


class AnswersAreTheReferences:
    """Of the family that the module of a subclass names."""

    def test_all_examples(
        self, pair: Pair, ask: Ask, examples: InputFolder, answered: tuple[list[Answer], Counters]
    ) -> None:
        ours, cost = answered
        theirs, plain = ask(pair[1], examples.questions)
        assert {one.task for one in ours} == set(TaskType) and len(ours) == 54
        assert not [one.reason for one in ours if one.failed]
        assert [one.text for one in ours] == [one.text for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-4)
            assert one.options == pytest.approx(other.options, abs=1e-4)
        assert cost.generated_tokens == plain.generated_tokens
        assert cost.shared_prompts and cost.prompt_tokens < plain.prompt_tokens and cost.forwards < plain.forwards

    def test_free_answers(self, pair: Pair, ask: Ask, examples: InputFolder) -> None:
        ours, theirs = (ask(one, examples.questions[::3], constrain=False)[0] for one in pair)
        assert len({one.text for one in ours}) > 4, "answers depend on what is asked"
        assert [one.text for one in ours] == [one.text for one in theirs]

    def test_other_budgets_and_orders(
        self, pair: Pair, ask: Ask, examples: InputFolder, answered: tuple[list[Answer], Counters]
    ) -> None:
        texts = {one.position: one.text for one in answered[0]}
        for part, budget in ((examples.questions[::-2], 700), (examples.questions[::5], 1)):
            again, _ = ask(pair[0], part, batch_tokens=budget)
            assert [one.text for one in again] == [texts[question.position] for question in part]

    def test_passes_recorded_for_a_gpu(
        self,
        pair: Pair,
        ask: Ask,
        examples: InputFolder,
        answered: tuple[list[Answer], Counters],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        texts = {one.position: one.text for one in answered[0]}
        model = pair[0].model
        assert isinstance(model, VisionLanguageModel)
        monkeypatch.setattr(model._generator, "_record", Recorder(record_tape))
        again, cost = ask(pair[0], examples.questions[::2])
        assert [one.text for one in again] == [texts[question.position] for question in examples.questions[::2]]
        assert cost.recorded_passes and answered[1].recorded_passes == 0

    def test_shared_and_several_pictures_and_long_texts(self, pair: Pair) -> None:
        images = sorted(EXAMPLES.rglob("*.png"))[:3]
        texts = ["How many?", *(f"How many {'small ' * n}cells are there?" for n in (1, 30, 31, 300))]
        asked = [Question.given_as(text, images[:count]) for count in (1, 3) for text in texts]
        ours, theirs = (one.answer(asked, AnswerSettings(routing="generalist", constrain=False)) for one in pair)
        assert [one.text for one in ours] == [one.text for one in theirs]
        assert all(
            one.probability == pytest.approx(other.probability, abs=1e-4)
            for one, other in zip(ours, theirs, strict=True)
        )

    def test_each_adapter_takes_effect_as_in_transformers(self, pair: Pair) -> None:
        ours, theirs = (predictor.model for predictor in pair)
        assert isinstance(ours, VisionLanguageModel) and isinstance(theirs, VisionLanguageModel)
        route = pair[0].checkpoint.routes["generalist"]
        _, base = theirs._first_logits(NO_ADAPTER, route, "Where is it?")
        for name in (NO_ADAPTER, *adapter_names()):
            (_, one), (_, other) = (one._first_logits(name, route, "Where is it?") for one in (ours, theirs))
            torch.testing.assert_close(one, other, atol=5e-4, rtol=1e-3)
            assert torch.equal(other, base) == (name == NO_ADAPTER)


_SIZES = ((200, 300), (90, 640), (24, 20), (2000, 7), (448, 448))
_NOISE = np.random.default_rng(0)
PICTURES = tuple(Image.fromarray(_NOISE.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in _SIZES)
"""Of several shapes: two are smaller than the least side that a family may ask for, one is too long."""


class PromptsAreTheProcessors:
    """Of the family that the module of a subclass names: the processor is what training goes through."""

    @pytest.mark.parametrize(("system", "mark"), [("", ""), ("Be brief.", ""), ("", "Image-{number}: ")])
    def test_tokens_and_pixels(self, encoder: PromptEncoder, system: str, mark: str) -> None:
        settings, family = ImageSettings(), encoder.family
        levels = torch.from_numpy(family.levels(encoder.processor))
        for shown in ((), PICTURES[:1], PICTURES):
            prompt = build_prompt(
                "Which? A: Zyste, B: 囊肿", len(shown), PromptSettings(system=system, image_mark=mark), ()
            )
            theirs = encoder.encode([prompt], [list(shown)], settings)
            pictures = [encoder.picture(one, settings) for one in shown]
            ours = encoder.encode_prompt(prompt, pictures)
            assert list(ours.tokens) == theirs["input_ids"][0].tolist()
            assert encoder.tokenizer.decode(ours.tokens[ours.shared :]).lstrip().startswith("Which?") or not shown
            told = encoder.tokenizer.decode(ours.tokens[: ours.shared])
            assert [f"Image-{n}: " in told for n in (1, len(shown), len(shown) + 1)] == [
                bool(mark) and len(shown) > 1, bool(mark) and len(shown) > 1, False,
            ]  # fmt: skip
            if shown:
                tiles = [torch.from_numpy(one.tiles) for one in pictures]
                pixels = [levels[torch.arange(3)[:, None, None], one.long()] for one in tiles]
                alike = [torch.cat(pixels)] if len({one.shape for one in pixels}) == 1 else pixels
                for key, made in family.inputs(encoder.processor, alike).items():
                    assert torch.equal(made, theirs[key]), key
            if family.kinds_argument:
                image = torch.tensor(ours.tokens) == encoder.processor.image_token_id
                assert torch.equal(theirs[family.kinds_argument][0], image.long())

    def test_two_rows_in_a_batch(self, encoder: PromptEncoder) -> None:
        prompts = [
            build_prompt(text, 1, PromptSettings(), ()) for text in ("How many?", "Which of all of these is it?")
        ]
        both = encoder.encode(prompts, [[one] for one in PICTURES[:2]], ImageSettings())
        for row, (prompt, image) in enumerate(zip(prompts, PICTURES[:2], strict=True)):
            [mask] = both["attention_mask"][row : row + 1].bool()
            own = encoder.encode_prompt(prompt, [encoder.picture(image, ImageSettings())])
            assert both["input_ids"][row][mask].tolist() == list(own.tokens)

    @pytest.mark.parametrize("pixels", [5_000, 64 * 64, 448 * 448, 768 * 768])
    def test_no_image_takes_more_tokens_than_is_said(self, encoder: PromptEncoder, pixels: int) -> None:
        settings = ImageSettings(max_pixels=pixels)
        most = encoder.image_tokens(settings)
        image_id = encoder.processor.image_token_id
        for ratio in (0.003, 0.008, 0.1, 0.7, 1.0, 1.3, 9.0, 90.0, 190.0, 400.0):
            size = max(1, int(900 * ratio**0.5)), max(1, int(900 / ratio**0.5))
            image = fit_pixel_budget(Image.new("RGB", size), settings.min_pixels, pixels)
            prompt = build_prompt("?", 1, PromptSettings(), ())
            encoded = encoder.encode_prompt(prompt, [encoder.picture(image, settings)])
            assert 0 < encoded.tokens.count(image_id) <= most


class PositionsAreTransformers:
    """Of a family of three axes."""

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
