"""Adapters mixed for each question, computed for many rows together, beside peft's own way for one: in float32."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mevlip.answers.grammar import OneOf
from mevlip.checkpoints.checkpoint import adapter_folder, open_checkpoint
from mevlip.checkpoints.routes import ImageSettings, Mix, read_route, write_route
from mevlip.core.errors import CheckpointError
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.inference import lora
from mevlip.inference.completion import Completion, Request
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import Prompt
from mevlip.inference.steps import Recorder
from mevlip.predictor import Predictor
from mevlip.runs.explanations import explain
from mevlip.settings import PredictorSettings
from mevlip.tasks import GENERALIST, TaskType
from tests.altered_checkpoints import repack
from tests.conftest import DEMO, EXAMPLES
from tests.mevlip.inference.asking import ask
from tests.mevlip.inference.tape import record_tape

pytestmark = pytest.mark.model

CPU = torch.device("cpu")
MIXES = dict.fromkeys(TaskType, Mix(gamma=4)) | {
    TaskType.COUNTING: Mix(least=1, most=1),
    TaskType.REGRESSION: Mix(least=0, most=0),
}
"""A large gamma spreads the demo's shares; two tasks have the generalist alone and their own adapter alone."""
Pair = tuple[VisionLanguageModel, VisionLanguageModel]


def shrink(folder: Path) -> None:
    """Leaves an adapter half of its rank, with an alpha of its own."""
    weights, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    config = json.loads(settings.read_text())
    rank = config["r"] // 2
    settings.write_text(json.dumps(config | {"r": rank, "lora_alpha": 3 * rank}))
    kept = {key: one[:rank] if "lora_A" in key else one[:, :rank] for key, one in load_file(weights).items()}
    save_file({key: one.contiguous() for key, one in kept.items()}, weights, {"format": "pt"})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[override]
    """The demo with every task's adapter mixed with the generalist, whose rank and alpha are others than theirs."""
    folder = Path(shutil.copytree(DEMO, tmp_path_factory.mktemp("mixed") / "checkpoint"))
    for task, mix in MIXES.items():
        own = adapter_folder(folder, task.value)
        write_route(own, read_route(own).model_copy(update={"mix": mix}))
    shrink(adapter_folder(folder, GENERALIST))
    repack(folder)
    return folder


@pytest.fixture(scope="module")
def pair(checkpoint: Path) -> Pair:
    """Our model and the reference."""
    opened = open_checkpoint(checkpoint)
    ours, theirs = (
        VisionLanguageModel.load(opened, CPU, reference=reference, dtype=torch.float32) for reference in (False, True)
    )
    return ours, theirs


@pytest.fixture(scope="module")
def folder() -> InputFolder:
    return read_input_folder(EXAMPLES)


@pytest.fixture(scope="module")
def predictors(pair: Pair, checkpoint: Path) -> tuple[Predictor, Predictor]:
    settings = PredictorSettings(checkpoint=str(checkpoint))
    ours, theirs = (Predictor.find(settings, load_model=lambda *_, model=model: model) for model in pair)
    return ours, theirs


@pytest.fixture(scope="module")
def answered(predictors: tuple[Predictor, Predictor], folder: InputFolder) -> tuple[list[Answer], Counters]:
    return ask(predictors[0], folder, folder.questions)


def share_of(answer: Answer) -> float:
    assert answer.completion is not None and answer.completion.share is not None
    return answer.completion.share


def assert_alike(ours: Sequence[Answer], theirs: Sequence[Answer]) -> None:
    assert [one.text for one in ours] == [one.text for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert share_of(one) == pytest.approx(share_of(other), abs=1e-4)
        assert one.probability == pytest.approx(other.probability, abs=2e-4)
        assert one.options == pytest.approx(other.options, abs=2e-4)


def test_answers_equal_those_of_peft_one_question_at_a_time(
    predictors: tuple[Predictor, Predictor], folder: InputFolder, answered: tuple[list[Answer], Counters]
) -> None:
    theirs, plain = ask(predictors[1], folder, folder.questions)
    assert_alike(answered[0], theirs)
    assert {one.task for one in theirs} == set(TaskType)
    shares = [share_of(one) for one in theirs if MIXES[one.task].gamma == 4]
    assert min(shares) < 0.6 and max(shares) > 0.85, "questions differ"
    assert answered[1].generated_tokens == plain.generated_tokens


def test_passes_recorded_for_a_gpu_know_each_rows_share(
    pair: Pair,
    predictors: tuple[Predictor, Predictor],
    folder: InputFolder,
    answered: tuple[list[Answer], Counters],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pair[0]._generator, "_record", Recorder(record_tape))
    again, cost = ask(predictors[0], folder, folder.questions)
    assert cost.recorded_passes
    assert_alike(again, answered[0])


def test_free_answers_do_too(predictors: tuple[Predictor, Predictor], folder: InputFolder) -> None:
    ours, theirs = (ask(one, folder, folder.questions[::4], constrain=False)[0] for one in predictors)
    assert_alike(ours, theirs)


def test_other_budgets_shards_and_orders_change_no_answer(
    predictors: tuple[Predictor, Predictor], folder: InputFolder, answered: tuple[list[Answer], Counters]
) -> None:
    known = {one.position: one for one in answered[0]}
    for part, budget in ((folder.questions[::-1], 700), (folder.questions[1::2], None), (folder.questions[::2], 1)):
        again, _ = ask(predictors[0], folder, part, batch_tokens=budget)
        assert_alike(again, [known[question.position] for question in part])


def requests(model: VisionLanguageModel) -> list[Request]:
    """Two on one picture, one on another and one on none, of different lengths, choices among them."""
    pictures = [
        model.picture(Image.fromarray(np.full((40, 50, 3), shade, dtype=np.uint8)), ImageSettings())
        for shade in (9, 99)
    ]
    asked = [
        ("How many cells are there in this picture?", pictures[:1], 9, None),
        ("How many?", pictures[:1], 3, None),
        ("Which of them? A: One, B: Two", pictures[1:], 4, OneOf(("A", "B"))),
        ("What is the width of the largest one?", [], 16, None),
        ("What is it?", pictures[1:], 6, None),
    ]
    return [
        Request(model.encode(Prompt(text, "", len(shown)), shown), tuple(shown), budget, grammar)
        for text, shown, budget, grammar in asked
    ]


def generated(model: VisionLanguageModel, adapter: str, together: bool = True) -> list[Completion]:
    model.use(adapter)
    asked = requests(model)
    parts = [asked] if together else [[one] for one in asked]
    return [one for part in parts for one in model.generate(part).completions]


@pytest.mark.parametrize(
    ("mixed", "alone", "share"), [(TaskType.COUNTING, GENERALIST, 1), (TaskType.REGRESSION, None, 0)]
)
def test_a_whole_share_is_one_adapter_alone(pair: Pair, mixed: TaskType, alone: str | None, share: int) -> None:
    ours, theirs = pair
    found = generated(ours, mixed)
    assert {one.share for one in found} == {share}
    theirs._generator.use((alone or mixed.value,))
    wanted = [one for request in requests(theirs) for one in theirs.generate([request]).completions]
    assert [(one.text, one.tokens) for one in found] == [(one.text, one.tokens) for one in wanted]
    assert [one.probability for one in found] == pytest.approx([one.probability for one in wanted], abs=2e-4)


@pytest.mark.parametrize("adapter", [TaskType.REPORT, TaskType.CLASSIFICATION])
def test_rows_keep_their_shares_when_others_are_done_before_them(pair: Pair, adapter: TaskType) -> None:
    ours, theirs = pair
    together, alone = generated(ours, adapter), generated(ours, adapter, together=False)
    wanted = generated(theirs, adapter, together=False)
    assert len({round(one.share or 0, 4) for one in wanted}) > 2
    assert len({one.tokens for one in wanted}) > 2, "they end at different times"
    for found in (together, alone):
        assert [one.text for one in found] == [one.text for one in wanted]
        for key in ("share", "probability"):
            pairs = [getattr(one, key) for one in found], [getattr(one, key) for one in wanted]
            assert pairs[0] == pytest.approx(pairs[1], abs=2e-4)


def test_what_a_mixed_call_costs(pair: Pair) -> None:
    ours, theirs = pair
    asked = requests(ours)
    ours.forget_pictures()
    ours.use(TaskType.REPORT)
    cost = ours.generate(asked).cost
    lengths = [len(one.prompt.tokens) for one in asked]
    saved = sum(one.prompt.shared for one in asked[1:3])
    assert cost.prompt_tokens == 2 * (sum(lengths) - saved) + sum(lengths), "two passes share beginnings, one does not"
    assert (cost.shared_prompts, cost.pictures_encoded, cost.tiles_encoded) == (2, 2, 2)
    steps = cost.forwards - 3
    assert steps == max(one.tokens for one in ours.generate(asked).completions) - 1
    assert cost.row_steps == cost.generated_tokens - len(asked)
    assert cost.vocabulary_rows == 2 * len(asked) + cost.generated_tokens - 1, "the choice is among two tokens"
    assert cost.synchronizations == (1 + steps) + 2, (
        "a choice beside free answers in the first pass; the shares at last"
    )
    theirs.use(TaskType.REPORT)
    [plain] = [theirs.generate([one]).cost for one in requests(theirs)[1:2]]
    assert plain.prompt_tokens == 3 * lengths[1] and plain.pictures_encoded == 3
    assert plain.forwards == plain.row_steps + 3 == plain.vocabulary_rows


def test_peft_scales_are_put_back_exactly(pair: Pair) -> None:
    reference = pair[1]
    layers = [module for module in reference._model.modules() if hasattr(module, "lora_A")]
    before = [dict(layer.scaling) for layer in layers]
    generated(reference, TaskType.REPORT, together=False)
    assert [dict(layer.scaling) for layer in layers] == before
    assert {layer.scaling[GENERALIST] for layer in layers} == {3.0} != {layer.scaling["counting"] for layer in layers}


def test_what_is_proven_at_load_is_the_mixture(pair: Pair, checkpoint: Path) -> None:
    routes = open_checkpoint(checkpoint).routes
    ours, theirs = pair
    logits = {}
    for name in ("classification", "counting", GENERALIST):
        (_, one), (_, other) = (model._first_logits(name, routes["counting"], "Where is it?") for model in pair)
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)
        logits[name] = one
    torch.testing.assert_close(logits["counting"], logits[GENERALIST], atol=2e-4, rtol=1e-4)
    assert not torch.allclose(logits["classification"], logits[GENERALIST], atol=0.1)
    probes = ours.record_probes({"counting": routes["counting"]})
    theirs._prove_adapters({"counting": routes["counting"]}, probes)


def test_explanations_say_the_share(answered: tuple[list[Answer], Counters], folder: InputFolder) -> None:
    for question, answer in zip(folder.questions, answered[0], strict=True):
        assert explain(question, answer).share == pytest.approx(share_of(answer), abs=1e-6)


def test_an_adapter_of_another_kind_cannot_be_mixed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "_is_plain", lambda module: "q_proj" not in repr(module) and module.in_features != 192)
    with pytest.raises(CheckpointError, match=r"adapter '.*': it is mixed with 'generalist', but not all adapters are"):
        VisionLanguageModel.load(open_checkpoint(checkpoint), CPU)
