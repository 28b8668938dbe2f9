"""In float32 answers are those of one question at a time through transformers, however they are batched."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from mevlip.flare.questions import InputFolder, Question, read_input_folder
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings
from mevlip.tasks import NO_ADAPTER, adapter_names
from tests.conftest import DEMO, EXAMPLES
from tests.mevlip.inference.asking import ask, engine_and_reference

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["demo", "thin"])
def model(request: pytest.FixtureRequest, thin_checkpoint: Path) -> tuple[Predictor, Predictor]:
    """The demo, and the thin model with the real vocabulary and 448-pixel tiles."""
    return engine_and_reference(DEMO if request.param == "demo" else thin_checkpoint)


@pytest.fixture(scope="module")
def folder() -> InputFolder:
    return read_input_folder(EXAMPLES)


@pytest.fixture(scope="module")
def questions(model: tuple[Predictor, Predictor], folder: InputFolder) -> tuple[Question, ...]:
    """All for the demo; for the thin model, which takes longer, each data set's first and those about its picture."""
    if model[0].checkpoint.folder.samefile(DEMO):
        return folder.questions
    shown = {(one.file, str(one.record["ImageName"])) for one in folder.questions if one.index == 0}
    return tuple(one for one in folder.questions if (one.file, str(one.record["ImageName"])) in shown)


@pytest.fixture(scope="module")
def answered(
    model: tuple[Predictor, Predictor], folder: InputFolder, questions: tuple[Question, ...]
) -> tuple[list[Answer], Counters]:
    """What the engine answers to all of them."""
    return ask(model[0], folder, questions)


def test_answers_equal_those_of_the_reference(
    model: tuple[Predictor, Predictor],
    folder: InputFolder,
    questions: tuple[Question, ...],
    answered: tuple[list[Answer], Counters],
) -> None:
    ours, cost = answered
    theirs, plain = ask(model[1], folder, questions)
    assert [one.text for one in ours] == [one.text for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-4)
        assert one.options == pytest.approx(other.options, abs=1e-4)
    assert (cost.questions, cost.generated_tokens) == (plain.questions, plain.generated_tokens)
    assert cost.forwards < plain.forwards and cost.prompt_tokens < plain.prompt_tokens


def test_free_answers_equal_those_of_the_reference(
    model: tuple[Predictor, Predictor], folder: InputFolder, questions: tuple[Question, ...]
) -> None:
    ours, theirs = (ask(one, folder, questions[::3], constrain=False)[0] for one in model)
    assert [one.text for one in ours] == [one.text for one in theirs]


def test_other_budgets_shards_and_orders_change_no_answer(
    model: tuple[Predictor, Predictor],
    folder: InputFolder,
    questions: tuple[Question, ...],
    answered: tuple[list[Answer], Counters],
) -> None:
    texts = {one.position: one.text for one in answered[0]}
    for part, budget in ((questions[::-1], 700), (questions[1::2], None), (questions[::2], 1)):
        again, _ = ask(model[0], folder, part, batch_tokens=budget)
        assert {one.position: one.text for one in again} == {
            question.position: texts[question.position] for question in part
        }


def test_each_adapter_and_the_base_alone_compute_what_transformers_does(model: tuple[Predictor, Predictor]) -> None:
    ours, theirs = (predictor.model for predictor in model)
    assert isinstance(ours, VisionLanguageModel) and isinstance(theirs, VisionLanguageModel)
    route = model[0].checkpoint.routes["generalist"]
    for name in (NO_ADAPTER, *adapter_names()):
        (_, one), (_, other) = (one._first_logits(name, route, "Where is it?") for one in (ours, theirs))
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


def test_prompts_that_share_pictures_and_prompts_that_do_not_are_computed_alike(
    model: tuple[Predictor, Predictor], folder: InputFolder
) -> None:
    """Seven questions on one picture, of very different lengths; the longest shares nothing."""
    texts = ["How many?", *(f"How many {'small ' * n}cells are there?" for n in (1, 2, 30, 31, 300, 1100))]
    image = next(EXAMPLES.rglob("*.png"))
    asked = [Question.given_as(text, [image]) for text in texts]
    ours, theirs = (one.answer(asked, AnswerSettings(routing="generalist")) for one in model)
    assert [one.text for one in ours] == [one.text for one in theirs]
    alone = [model[0].answer([one], AnswerSettings(routing="generalist"))[0] for one in asked]
    assert [one.text for one in alone] == [one.text for one in ours]
    pairs = itertools.chain(zip(ours, theirs, strict=True), zip(ours, alone, strict=True))
    assert all(one.probability == pytest.approx(other.probability, abs=1e-4) for one, other in pairs)
