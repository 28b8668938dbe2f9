"""The predictor at the real model's vocabulary, tile size and visual tokens, on a thin untrained checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mevlip.checkpoints.routes import ImageSettings, PromptSettings
from mevlip.core.errors import CheckpointError, ModelFailure
from mevlip.inference.completion import OutOfMemory, Request
from mevlip.inference.decoding import Grammars
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import Prompt, build_prompt
from mevlip.inference.reference import choose
from mevlip.reading import grammar_of
from mevlip.runs.doctor import examine
from mevlip.runs.report import RunReport
from mevlip.settings import PredictorSettings
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from tests.altered_checkpoints import scaled, seal
from tests.conftest import EXAMPLES, FLARE_DATA, answer_folder, first_of_each, load_once, needs_flare_data

CPU = torch.device("cpu")
LOGITS, TOKENS = 151_674, 151_675
VIDEO, END = 151_674, 151_645
PICTURE = Image.linear_gradient("L").convert("RGB").resize((640, 300))


@pytest.fixture(scope="module")
def checkpoint(thin_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(thin_checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> VisionLanguageModel:
    return load_once(checkpoint)


@pytest.fixture(scope="module")
def encoder(checkpoint: Checkpoint) -> PromptEncoder:
    return PromptEncoder("internvl", checkpoint.base)


def allowed_first(grammars: Grammars, grammar: Grammar | None) -> np.ndarray:
    """Which tokens an answer may begin with."""
    words = np.zeros(grammars.words, dtype=np.uint32)
    grammars.draft(grammar, 9).fill(words)
    return np.unpackbits(words.view(np.uint8), bitorder="little")[: grammars._size].astype(bool)


def answer(checkpoint: Path, folder: Path, out: Path, **options: Any) -> RunReport:
    return answer_folder(folder, out, checkpoint=checkpoint, **options)


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("constrain", [True, False], ids=["constrained", "free"])
def test_all_seven_tasks_are_answered_without_a_failure(thin_checkpoint: Path, tmp_path: Path, constrain: bool) -> None:
    """The first question of each data set of the examples."""
    root = first_of_each(tmp_path / "in")
    report = answer(thin_checkpoint, root, tmp_path / "out", routing="declared", constrain=constrain)
    assert {result.task for result in report.answers} == set(TaskType)
    assert len(report.answers) == 18
    assert not [result for result in report.answers if result.failed]
    if constrain:
        unreadable = [result for result in report.answers if result.stage == "fallback"]
        assert {result.task for result in unreadable} <= {TaskType.DETECTION}, "random boxes may have no area"
    assert report.counters.tiles_encoded == 21, "one question has three photos, one has two views"


@needs_flare_data
@pytest.mark.usefixtures("loaded_once")
def test_the_challenges_own_wordings_are_answered_without_a_failure(thin_checkpoint: Path, tmp_path: Path) -> None:
    """One question of each data set and number of options, with a generated picture."""
    chosen: dict[tuple[str, int, int], dict[str, Any]] = {}
    paths = sorted((FLARE_DATA / "flare_inputs").rglob("*.json"))
    records = [(path.parent.name, one) for path in paths for one in json.loads(path.read_bytes())]
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    records += [(one["dataset"], one) for one in map(json.loads, lines)]
    for dataset, one in records:
        spec = QuestionSpec(one["Question"])
        chosen.setdefault((dataset, len(spec.labels), int(spec.several)), one)
    rows = [{**one, "ImageName": "a.png", "Answer": ""} for one in chosen.values()]
    assert len(rows) >= 8
    PICTURE.save(tmp_path / "a.png")
    (tmp_path / "real_questions_val.json").write_text(json.dumps(rows), "utf-8")
    for constrain in (True, False):
        report = answer(thin_checkpoint, tmp_path, tmp_path / "out", constrain=constrain)
        assert not [result.reason for result in report.answers if result.failed]


def test_masks_are_as_wide_as_the_logits_and_never_allow_a_token_without_one(model: VisionLanguageModel) -> None:
    assert len(model.encoder.tokenizer) == TOKENS
    for task in (TaskType.DETECTION, TaskType.INSTANCE_DETECTION, TaskType.COUNTING, TaskType.REGRESSION,
                 TaskType.REPORT):  # fmt: skip
        grammar = grammar_of(task, QuestionSpec("How many?", (640, 480), "norm1000", (0.0, 100.0)))
        allowed = np.flatnonzero(allowed_first(model.grammars, grammar)).tolist()
        assert 0 < len(allowed) < LOGITS
        # `<tool_call>` and its like are words to the real tokenizer, so a report may hold them.
        added = set(model.encoder.tokenizer.get_added_vocab().values()) & set(allowed)
        assert added <= (set(range(151_657, 151_665)) if task is TaskType.REPORT else set())


@pytest.mark.parametrize("size", [151_674, 151_675, 152_064], ids=["fewer", "equal", "more"])
def test_answers_are_legal_whether_logits_are_fewer_or_more_than_tokens(model: VisionLanguageModel, size: int) -> None:
    tokenizer = model.encoder.tokenizer
    grammars = Grammars(tokenizer, size, [END])
    spec = QuestionSpec("How many?", (640, 480), "norm1000", (0.0, 100.0))
    for task in (TaskType.COUNTING, TaskType.REGRESSION):
        grammar = grammar_of(task, spec)
        for seed in range(5):
            draft = grammars.draft(grammar, 40)
            source = torch.Generator().manual_seed(seed)
            while not draft.done:
                logits = torch.randn(1, size, generator=source)
                logits[0, TOKENS:] = 50.0  # rows of the output layer that no token has
                choose(draft, logits, grammars.words)
            assert TASKS[task].answer.parse(tokenizer.decode(draft.tokens, skip_special_tokens=True), spec)


def test_an_option_that_spells_a_token_without_a_logit_is_not_held_to(model: VisionLanguageModel) -> None:
    grammar = grammar_of(TaskType.CLASSIFICATION, QuestionSpec("Which? Choose one: <video>; Mass"))
    assert allowed_first(model.grammars, grammar).all()


def test_every_grammar_is_proven_when_the_model_is_loaded(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    route, before = checkpoint.routes[GENERALIST], model.grammars.compiled
    assert before >= 5, "numbers, measurements, boxes, objects and reports; options and labels differ by question"
    for task in TaskType:
        if grammar := grammar_of(task, route.spec("?", None)):
            model.grammars.prove(grammar)
    assert model.grammars.compiled == before


def test_a_grammar_that_cannot_be_compiled_is_no_questions_fault(
    thin_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it once was: the library refuses the vocabulary, and 21 of 54 answers were fallbacks with status 0."""
    from llguidance import hf

    wrap = hf.from_tokenizer
    monkeypatch.setattr(hf, "from_tokenizer", lambda tokenizer, n_vocab: wrap(tokenizer, n_vocab=LOGITS))
    with pytest.raises(ModelFailure, match="llguidance cannot compile a grammar .*vocab size too small") as caught:
        answer(thin_checkpoint, EXAMPLES, tmp_path, routing="declared")
    assert caught.value.exit_code == 8
    assert not (tmp_path / "predictions.json").exists()
    found = list(examine(PredictorSettings(checkpoint=str(thin_checkpoint), device="cpu")))
    assert (found[-1].status, "vocab size too small" in found[-1].detail) == ("FAIL", True)


def test_strings_that_would_become_added_tokens_never_reach_the_prompt(model: VisionLanguageModel) -> None:
    added = model.encoder.tokenizer.get_added_vocab()
    assert len(added) == 32 and added.keys() <= model.reserved
    question = " ".join(f"{token}x{token}" for token in [*added, "<image>"]) + " How many cells?"
    prompt = build_prompt(question, 1, PromptSettings(), model.reserved)
    asked = model.encoder.encode([prompt], [[PICTURE]], ImageSettings())["input_ids"][0].tolist()
    plain = model.encoder.encode([Prompt("x", "", 1)], [[PICTURE]], ImageSettings())["input_ids"][0].tolist()
    reserved = set(added.values())
    assert [token for token in asked if token in reserved] == [token for token in plain if token in reserved]


@pytest.fixture
def copy(thin_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that shares its files with the original; a file must be removed before it is written anew."""
    return Path(shutil.copytree(thin_checkpoint, tmp_path / "copy", copy_function=os.link))


def test_a_route_whose_prompt_holds_a_token_without_an_embedding_is_refused(copy: Path) -> None:
    path = copy / "adapters/counting/route.json"
    route = json.loads(path.read_bytes())
    path.unlink()
    path.write_text(json.dumps({**route, "prompt": {"system": "Watch <video> closely.", "template": "{question}"}}))
    seal(copy)
    with pytest.raises(CheckpointError, match=r"adapter 'counting': a prompt holds the token '<video>' \(151674\)"):
        VisionLanguageModel.load(open_checkpoint(copy), CPU)


def test_a_batch_with_such_a_token_is_refused_before_it_reaches_the_device(
    model: VisionLanguageModel,
) -> None:
    with pytest.raises(CheckpointError, match="the base model knows 151674 tokens"):
        model.encode(Prompt("How <video>?", "", 0), [])


@pytest.mark.parametrize("factor", [2.0, 8**0.5], ids=["twice alpha", "rslora"])
def test_known_answers_tell_random_adapters_and_scalings_apart(
    model: VisionLanguageModel, checkpoint: Checkpoint, factor: float
) -> None:
    names = adapter_names()
    assert all(checkpoint.probes[name].shows_the_adapter for name in names)
    model._prove_adapters(checkpoint.routes, checkpoint.probes)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        own = {name: checkpoint.routes[name]}
        with pytest.raises(CheckpointError, match=f"adapter '{name}': its known answer is"):
            model._prove_adapters(own, {name: checkpoint.probes[other]})
        with scaled(model, factor), pytest.raises(CheckpointError, match=f"adapter '{name}': its known answer is"):
            model._prove_adapters(own, checkpoint.probes)


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_a_tile_is_256_visual_tokens_of_448_pixels(encoder: PromptEncoder, tiles: bool, count: int) -> None:
    settings = ImageSettings(crop_to_patches=tiles)
    encoded = encoder.encode([Prompt("What?", "", count)], [[PICTURE] * count], settings)
    # 640 x 300 is nearest to two tiles side by side; a thumbnail of the whole comes with them.
    per_image = 3 if tiles else 1
    assert encoded["pixel_values"].shape == (count * per_image, 3, 448, 448)
    assert int((encoded["input_ids"] == 151_667).sum()) == count * per_image * 256


def test_running_out_of_memory_is_told_from_other_errors(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> None:
        model.generate([Request(model.encode(Prompt("?", "", 0), []), (), 2, None)])

    def errors() -> Iterator[Exception]:
        yield torch.OutOfMemoryError("CUDA out of memory")
        yield MemoryError()
        yield RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        try:
            torch.empty(1 << 50)
        except RuntimeError as error:
            yield error

    for error in errors():

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(model._generator, "generate", fail)
        with pytest.raises(OutOfMemory):
            ask()
    monkeypatch.setattr(model._generator, "generate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask()


def test_a_gpu_that_stopped_working_ends_the_run(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played by a stand-in: there is no GPU to break."""

    def broken() -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with ...")

    monkeypatch.setattr(model, "device", torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    with pytest.raises(ModelFailure, match=r"The GPU stopped working \(CUDA error: device-side assert triggered\)"):
        model.release_memory()


def test_four_images_and_pictures_of_odd_sizes_are_answered(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    rng = np.random.default_rng(1)
    sizes = [(4000, 3000), (20, 2000), (31, 31), (448, 448)]
    images = [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    model.use("counting")
    grammar = grammar_of(TaskType.COUNTING, QuestionSpec("How many?"))
    pictures = tuple(model.picture(image, ImageSettings(crop_to_patches=True)) for image in images)
    requests = [
        Request(model.encode(Prompt("How many?", "", len(shown)), shown), shown, 4, grammar)
        for shown in (pictures, pictures[:1])
    ]
    made = model.generate(requests)
    assert all(one.text.isdigit() for one in made.completions)
    assert made.cost.pictures_encoded == 4 and made.cost.tiles_encoded == sum(one.count for one in pictures)
    assert made.cost.prompt_tokens > 256 * (made.cost.tiles_encoded + pictures[0].count)


@pytest.mark.parametrize("tiles", [False, True], ids=["one tile", "tiles"])
def test_prompts_and_pixels_are_those_of_the_processor(encoder: PromptEncoder, tiles: bool) -> None:
    """The processor's are what training sees; ours are encoded without pixels, and pixels normalized on the device."""
    settings = ImageSettings(crop_to_patches=tiles)
    tall = Image.linear_gradient("L").convert("RGB").resize((200, 700))
    for pictures in ([], [PICTURE], [PICTURE, tall]):
        prompt = build_prompt("Which of these? A: Zyste, B: 囊肿, C: кисты", len(pictures), PromptSettings(), ())
        encoded = encoder.encode([prompt], [pictures], settings)
        prepared = [encoder.picture(picture, settings) for picture in pictures]
        ours = encoder.encode_prompt(prompt, prepared)
        assert list(ours.tokens) == encoded["input_ids"][0].tolist()
        assert ours.shared == (max(np.flatnonzero(np.array(ours.tokens) == 151_666), default=-1) + 1), "through </img>"
        assert encoder.image_tokens(settings) == (13 if tiles else 1) * 256 + 2
        if pictures:
            stacked = np.concatenate([one.tiles for one in prepared])
            normalized = encoder.family.levels(encoder.processor)[np.arange(3)[:, None, None], stacked]
            assert np.array_equal(normalized, encoded["pixel_values"].numpy())


@pytest.mark.usefixtures("loaded_once")
def test_a_question_of_twenty_thousand_words_is_answered_within_the_window(
    thin_checkpoint: Path, tmp_path: Path
) -> None:
    text = f"Is the {'very ' * 20_000} square gray? A: No, B: Yes"
    row = {"TaskType": "classification", "Modality": "", "ImageName": "a.png", "Question": text, "Answer": ""}
    PICTURE.save(tmp_path / "a.png")
    (tmp_path / "long_questions_val.json").write_text(json.dumps([row]), "utf-8")
    report = answer(thin_checkpoint, tmp_path, tmp_path / "out", routing="declared")
    assert all(result.text in ("A", "B") and not result.failed for result in report.answers)
    assert all("too long for the model" in result.problems[0] for result in report.answers)
    assert 8150 < report.counters.prompt_tokens <= 8192 - 4, "the answer's four tokens have their room"
