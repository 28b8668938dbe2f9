"""What holds for every family: its answers are those of transformers' own generate. Tests inherit it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mevlip.flare.questions import InputFolder, Question
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.settings import AnswerSettings
from mevlip.tasks import NO_ADAPTER, TaskType, adapter_names
from tests.conftest import EXAMPLES
from tests.mevlip.inference.families.conftest import Ask, Pair


class AnswersAreTheReferences:
    """Of the family that a subclass names."""

    name: str

    @pytest.fixture(scope="class")
    def pair(self, load_pair: Callable[[str], Pair]) -> Pair:
        return load_pair(self.name)

    @pytest.fixture(scope="class")
    def answered(self, pair: Pair, ask: Ask, examples: InputFolder) -> tuple[list[Answer], Counters]:
        return ask(pair[0], examples.questions)

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
