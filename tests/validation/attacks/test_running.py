from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip.core.errors import CheckpointError, InputError
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings
from mevlip.tasks import TaskType
from mevlip_validation.ablation import read_folders
from mevlip_validation.attacks.questions import Case, Posed, as_picture, check_routes, prepare
from mevlip_validation.attacks.running import Attacks, Plan, attack_case, attack_folder
from mevlip_validation.matching import rows_of_questions
from tests.conftest import DEMO, EXAMPLES, call_mevlip, load_once

pytestmark = pytest.mark.model
SMALL = Plan(epsilons=(2, 8), iterations=3, sample=1, seed=1)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    checkpoint = read_checkpoint(DEMO)
    exact = VisionLanguageModel.load(checkpoint, torch.device("cpu"), dtype=torch.float32)
    return Predictor(checkpoint, load_model=lambda *_: exact)


@pytest.fixture(scope="module")
def attacks(predictor: Predictor) -> Attacks:
    return attack_folder(predictor, *read_folders(EXAMPLES, EXAMPLES, Path("build")), SMALL, quiet=True)


def model_of(predictor: Predictor) -> VisionLanguageModel:
    assert isinstance(predictor.model, VisionLanguageModel)
    return predictor.model


def case_of(predictor: Predictor, task: TaskType, *, targeted: bool = False) -> Case:
    """The first question of a task in the examples."""
    folder, truths = read_folders(EXAMPLES, EXAMPLES, Path("build"))
    rows = rows_of_questions(truths, folder.questions)
    position, row = next(one for one in rows.items() if one[1].task is task)
    [item] = predictor.route([folder.questions[position]], AnswerSettings(routing="declared"), Counters())
    route = predictor.checkpoint.routes[item.adapter]
    with ImageStore(folder.root) as store:
        return prepare(Posed(item, row), model_of(predictor), route, store, targeted)


def state_of(model: VisionLanguageModel) -> str:
    """What an attack must leave as it was: weights, modes, gradients and random numbers."""
    network = model._model
    digest = hashlib.sha256()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tensor.requires_grad} {tensor.grad}".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    modes = "".join(str(module.training) for module in network.modules())
    numbers = (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate())
    digest.update(f"{modes} {numbers} {torch.is_grad_enabled()}".encode())
    return digest.hexdigest()


def test_the_loss_is_that_of_what_the_model_writes(predictor: Predictor) -> None:
    model, case = model_of(predictor), case_of(predictor, TaskType.REPORT)
    shown = list(case.shown(case.tiles).images)
    answer = predictor.ask(case.posed.item.question.text, shown, task=TaskType.REPORT, constrain=False)
    assert answer.completion and answer.completion.tokens > 3
    model.use(answer.adapter)
    loss = model.answer_loss(case.prompt, torch.from_numpy(case.tiles).float(), answer.completion.text)
    assert math.exp(-float(loss)) == pytest.approx(answer.completion.probability, rel=1e-3)
    unsaid = model.answer_loss(case.prompt, torch.from_numpy(case.tiles).float(), answer.completion.text + " Not so.")
    assert unsaid > 2 * loss


def test_the_gradient_is_the_slope_of_the_loss(predictor: Predictor) -> None:
    model, case = model_of(predictor), case_of(predictor, TaskType.COUNTING)
    model.use(case.posed.item.adapter)
    pixels = torch.from_numpy(case.tiles).float().requires_grad_()
    [gradient] = torch.autograd.grad(model.answer_loss(case.prompt, pixels, case.goal), [pixels])
    direction, step = gradient / gradient.norm(), 3.0
    with torch.no_grad():
        ahead, behind = (
            float(model.answer_loss(case.prompt, pixels + sign * step * direction, case.goal)) for sign in (1, -1)
        )
    assert (ahead - behind) / (2 * step) == pytest.approx(float(gradient.norm()), rel=0.1)


def test_an_attack_leaves_weights_modes_and_random_numbers_as_they_were(predictor: Predictor) -> None:
    model, case = model_of(predictor), case_of(predictor, TaskType.CLASSIFICATION)
    model.use(case.posed.item.adapter)
    before = state_of(model)
    first = attack_case(case, model, SMALL)
    assert state_of(model) == before
    again = attack_case(case, model, SMALL)
    assert [one.loss for one in first] == [one.loss for one in again]
    for one in first:
        assert abs(one.tiles.astype(int) - case.tiles).max() <= one.epsilon
    assert first[-1].loss > first[0].loss


def test_the_model_sees_exactly_the_pixels_that_were_attacked(predictor: Predictor) -> None:
    case, route = case_of(predictor, TaskType.DETECTION), predictor.checkpoint.routes["detection"]
    noise = np.random.default_rng(0).integers(0, 256, case.tiles.shape, dtype=np.uint8)
    shown = case.shown(noise)
    assert (model_of(predictor).picture(shown.images[0], route.images).tiles == noise).all()
    assert shown.sizes == case.loaded.sizes != ((112, 112),), "boxes refer to the original"


def test_losses_rise_and_the_clean_answers_are_the_ordinary_ones(predictor: Predictor, attacks: Attacks) -> None:
    assert {one.task for one in attacks.questions} == {*TaskType} and len(attacks.questions) == 7
    for one in attacks.questions:
        assert one.losses[0] <= one.losses[1] <= one.losses[2] and one.losses[0] < one.losses[2]
    folder = read_input_folder(EXAMPLES)
    own = {f"{q.file.replace('.json', '_withGT.json')}[{q.index}]": q for q in folder.questions}
    asked = [own[one.place] for one in attacks.questions]
    with ImageStore(folder.root) as store:
        ordinary = predictor.answer(asked, load=store.load)
    assert [one.answers[0] for one in attacks.questions] == [answer.text for answer in ordinary]
    assert [one.adapter for one in attacks.questions] == [answer.adapter for answer in ordinary]


def test_rows_carry_each_strength_s_own_answers(attacks: Attacks) -> None:
    for at, rows in enumerate(attacks.rows):
        assert [row.prediction for row in rows] == [one.answers[at] for one in attacks.questions]
        assert [row.place for row in rows] == [one.place for one in attacks.questions]


def test_strips_show_the_clean_picture_the_attacked_one_and_the_change(attacks: Attacks) -> None:
    assert {*attacks.strips} == {*TaskType}
    assert {strip.size for strip in attacks.strips.values()} == {(3 * 112 + 12, 132)}


def test_a_targeted_attack_makes_the_option_after_the_true_one_likelier(predictor: Predictor) -> None:
    case = case_of(predictor, TaskType.CLASSIFICATION, targeted=True)
    true = case.posed.row.truth
    assert case.goal == chr(ord(true) + 1) or (case.goal == "A" and f"{chr(ord(true) + 1)}. " not in case.goal)
    plan = replace(SMALL, targeted=True, system="multi_task")
    found = attack_folder(predictor, *read_folders(EXAMPLES, EXAMPLES, Path("build")), plan, quiet=True)
    [one] = found.questions
    assert (one.task, one.adapter) == (TaskType.CLASSIFICATION, "generalist")
    assert one.losses[0] > one.losses[2] and one.goal != found.rows[0][0].target


def test_the_base_alone_can_be_attacked(predictor: Predictor, write_questions: Callable[..., Path]) -> None:
    record = {"TaskType": "Classification", "ImageName": ["a.png", "b.png"], "Question": "Which? A: x, B: y"}
    root = write_questions([{**record, "Answer": "A"}, {**record, "Answer": "C"}, {**record, "ImageName": "gone.png"}])
    plan = Plan("base", "fgsm", (4,))
    found = attack_folder(predictor, *read_folders(root, root, Path("build")), plan, quiet=True)
    [one] = found.questions
    assert one.adapter == "none" and one.losses[0] != one.losses[1]
    assert found.skipped == (
        "Xray/set/set_questions_val.json[1]: its true answer cannot be taught (answer that is not an option)",
    )


def test_what_cannot_be_attacked_is_refused(
    predictor: Predictor, write_questions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    route = predictor.checkpoint.routes["detection"]
    tiled = route.model_copy(update={"images": route.images.model_copy(update={"crop_to_patches": True})})
    with pytest.raises(CheckpointError, match="adapter 'detection' cuts pictures into tiles"):
        check_routes([tiled])
    with pytest.raises(CheckpointError, match="adapter 'detection' thinks before it answers"):
        check_routes([route.with_thinking("on")])
    root = write_questions([{"TaskType": "Counting", "ImageName": "a.png", "Question": "How many?", "Answer": "3"}])
    folders = read_folders(root, root, Path("build"))
    with pytest.raises(InputError, match="no question that can be attacked. Name a folder with choice questions"):
        attack_folder(predictor, *folders, replace(SMALL, targeted=True), quiet=True)
    monkeypatch.setattr(type(model_of(predictor).encoder.family), "keeps_tiles", False)
    with pytest.raises(CheckpointError, match="Answers cannot be differentiated: the base is not of type internvl"):
        attack_folder(predictor, *folders, SMALL, quiet=True)


def test_the_command_writes_tables_figure_and_strips(
    predictor: Predictor, write_questions: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mevlip.predictor.load_model", lambda *_, exact: model_of(predictor))
    record = {"TaskType": "Counting", "ImageName": "a.png", "Question": "How many cells?", "Answer": "3"}
    root = write_questions([record, {**record, "ImageName": "b.png"}])
    Image.effect_noise((40, 30), 60).save(root / "Xray/set/b.png")
    out = tmp_path / "out"
    options = ("--epsilons", "8,4", "--iterations", "3", "--out", out, "--checkpoint", DEMO, "--quiet")
    done = call_mevlip("robust", "attack", root, "--truth", root, *options)
    assert done.exit_code == 0, done.output
    assert "never falls on 100.0% of 2 questions" in done.output
    files = {"attack.csv", "attack.json", "attack.svg", "questions.csv", "counting.png"}
    assert {path.name for path in out.iterdir()} == files
    content: dict[str, Any] = json.loads((out / "attack.json").read_text())
    assert [point["epsilon"] for point in content["points"]] == [0, 4, 8] and content["plan"]["method"] == "pgd"
    assert "How many cells?" not in (out / "attack.json").read_text()
    for wrong in ("0,2", "2,x", "300"):
        refused = call_mevlip("robust", "attack", root, "--truth", root, "--epsilons", wrong)
        assert refused.exit_code == 2 and repr(wrong) in refused.output


def test_a_real_vocabulary_and_tiles_of_448_pixels_are_attacked_too(thin_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(thin_checkpoint)
    model = load_once(checkpoint)
    route = checkpoint.routes["counting"]
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 448, 448), dtype=np.uint8)
    picture = model.picture(as_picture(noise[0]), route.images)
    assert (picture.tiles == noise).all()
    prompt = model.encode(build_prompt("How many?", 1, route.prompt, model.reserved), [picture])
    model.use("counting")
    pixels = torch.from_numpy(noise).float().requires_grad_()
    loss = model.answer_loss(prompt, pixels, "12")
    [gradient] = torch.autograd.grad(loss, [pixels])
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert loss.item() == pytest.approx(math.log(151674), rel=0.3), "untrained: all tokens are about as likely"
