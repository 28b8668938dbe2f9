from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mevlip.core.errors import EnvironmentProblem, InputError, TrainingFailed
from mevlip.flare.questions import read_input_folder
from mevlip.routing.router import Router
from mevlip.tasks import TASKS, TaskType
from mevlip_training.calibration import CALIBRATION_NAME, router_logits
from mevlip_training.off_topic import OFF_TOPIC_SHARE, held_out_off_topic, off_topic_for, training_off_topic
from mevlip_training.router import (
    DEFAULT,
    PAPER,
    Pair,
    RouterTraining,
    default_settings,
    distinct_pairs,
    new_router,
    open_encoder,
    question_stem,
    save_router,
    split_by_wording,
    train_router,
)
from mevlip_training.router_cli import router as command
from tests.conftest import record

ASKED = {
    TaskType.CLASSIFICATION: "{0} class is it? A: Round, B: Flat",
    TaskType.MULTI_LABEL: "{0} signs apply? Select all: Round; Flat.",
    TaskType.DETECTION: "{0} box holds it, as corners?",
    TaskType.INSTANCE_DETECTION: "{0} chromosome boxes, as JSON?",
    TaskType.COUNTING: "{0} many cells, count them?",
    TaskType.REGRESSION: "{0} angle in degrees?",
    TaskType.REPORT: "{0} report should be written?",
}
STARTS = ("Which", "Say which", "Tell me, which", "In your view, which", "Now, which", "Please say which")
PAIRS: list[Pair] = [(text.format(start), task) for task, text in ASKED.items() for start in STARTS]
TINY = RouterTraining(steps=16, batch_size=16, learning_rate=3e-3, head_learning_rate=None, shuffle_labels=False)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random encoder with a word tokenizer, as one would download it: without the router's two marks."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import DebertaV2Config, DebertaV2Model, PreTrainedTokenizerFast

    texts = [text for text, _ in PAIRS] + list(default_settings().labels.values())
    words = sorted({word.strip("?.,:;") for text in texts for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        relative_attention=True, position_buckets=16, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        type_vocab_size=0, max_position_embeddings=512, initializer_range=0.2, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("encoder")
    DebertaV2Model(config).half().save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


def fresh(folder: Path, plan: RouterTraining = TINY) -> tuple[Any, Any]:
    encoder, tokenizer = open_encoder(str(folder))
    return new_router(encoder, tokenizer, plan), tokenizer


def trained(folder: Path, plan: RouterTraining) -> tuple[Any, Any, list[float]]:
    model, tokenizer = fresh(folder, plan)
    pairs = PAIRS * 6 + [(text, None) for text in off_topic_for(len(PAIRS) * 6, 0)]
    return model, tokenizer, train_router(model, tokenizer, pairs, default_settings(), plan)


def test_the_presets_are_the_papers_but_for_the_class_weight() -> None:
    paper = (PAPER.epochs, PAPER.learning_rate, PAPER.head_learning_rate, PAPER.focal_alpha, PAPER.focal_gamma)
    assert paper == (3, 1e-5, None, 1.0, 1.0)
    assert replace(DEFAULT, head_learning_rate=None, focal_alpha=1.0) == PAPER
    assert DEFAULT.focal_alpha == -1


def test_the_papers_alpha_gives_wrong_labels_no_gradient(encoder_folder: Path) -> None:
    gradients = {}
    for alpha in (PAPER.focal_alpha, DEFAULT.focal_alpha):
        model, _ = fresh(encoder_folder, replace(TINY, focal_alpha=alpha))
        logits = torch.zeros(1, 7, requires_grad=True)
        model.model.get_loss(logits, torch.eye(7)[:1]).backward()
        assert logits.grad is not None
        gradients[alpha] = logits.grad[0]
    assert gradients[1.0][0] < 0
    assert not gradients[1.0][1:].any()
    assert (gradients[-1.0][1:] > 0).all()


def test_the_papers_alpha_collapses_and_the_default_learns(encoder_folder: Path) -> None:
    shares = {}
    for alpha in (1.0, -1.0):
        model, tokenizer, _ = trained(encoder_folder, replace(TINY, epochs=12, focal_alpha=alpha))
        logits = router_logits(model, tokenizer, default_settings(), [text for text, _ in PAIRS])
        right = logits.argmax(1) == [list(TASKS).index(task) for _, task in PAIRS if task]
        shares[alpha] = (right.mean(), (logits > 0).sum(1).mean())
    assert shares[1.0][1] == 7, "every label is taken for right"
    assert shares[-1.0][0] > 0.9
    assert shares[-1.0][0] > shares[1.0][0] + 0.3
    assert shares[-1.0][1] < 1.5


def test_the_same_seed_trains_the_same_router(encoder_folder: Path) -> None:
    first, second = (trained(encoder_folder, TINY) for _ in range(2))
    assert first[2] == second[2]
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), second[0].parameters(), strict=True))
    other = trained(encoder_folder, replace(TINY, seed=1))
    assert other[2] != first[2]


def test_new_layers_can_learn_at_a_rate_of_their_own(encoder_folder: Path) -> None:
    before, _ = fresh(encoder_folder)
    model, _, _ = trained(encoder_folder, replace(TINY, learning_rate=1e-12, head_learning_rate=1e-2))
    moved = {
        name.startswith("model.encoder_model")
        for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True)
        if (old - new).abs().max() > 1e-6
    }
    assert moved == {False}


@pytest.mark.parametrize(("rate", "cause"), [(1e-12, "did not fall"), (float("nan"), "became nan")])
def test_a_loss_that_does_not_fall_is_an_error(encoder_folder: Path, rate: float, cause: str) -> None:
    model, tokenizer = fresh(encoder_folder)
    pairs = PAIRS[:1] * 64
    if rate != rate:
        with torch.no_grad():
            model.model.text_projector.linear_1.weight.fill_(rate)
    plan = replace(TINY, learning_rate=1e-12, shuffle_labels=False)
    model.model.text_projector.dropout.p = model.model.classes_projector.dropout.p = model.model.dropout.p = 0.0
    with pytest.raises(TrainingFailed, match=cause):
        train_router(model, tokenizer, pairs, default_settings(), plan)


def test_the_encoder_is_opened_in_single_precision_and_gets_the_two_marks(encoder_folder: Path) -> None:
    model, tokenizer = fresh(encoder_folder)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.model.encoder_model.get_input_embeddings().num_embeddings == len(tokenizer)
    text = "".join(f"<<LABEL>>{label}" for label in default_settings().labels.values()) + "<<SEP>>Which?"
    ids = tokenizer(text)["input_ids"]
    assert ids.count(model.config.class_token_index) == 7
    assert ids.count(model.config.text_token_index) == 1
    assert model.config.scorer_type == "simple"
    assert model.config.pooling_strategy == "first"


def test_the_pretrained_weights_are_the_ones_used(encoder_folder: Path) -> None:
    from safetensors.torch import load_file

    model, _ = fresh(encoder_folder)
    stored = load_file(encoder_folder / "model.safetensors")
    for name, weight in model.model.encoder_model.state_dict().items():
        assert torch.equal(weight[: len(stored[name])], stored[name].float()), name


def test_a_pickle_is_read_only_when_asked_for(encoder_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for path in encoder_folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(load_file(encoder_folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match="--allow-bin"):
        open_encoder(str(tmp_path))
    encoder, _ = open_encoder(str(tmp_path), allow_bin=True)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}


class Malicious:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("owned"),)  # type: ignore[return-value]


def test_a_pickle_that_runs_code_is_refused(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_bytes((encoder_folder / "config.json").read_bytes())
    torch.save({"weight": Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match="cannot be opened"):
        open_encoder(str(tmp_path), allow_bin=True)
    assert not (tmp_path / "owned").exists()


def test_a_missing_encoder_and_tokenizer_are_named(encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no/such-model.*--encoder"):
        open_encoder("no/such-model")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((encoder_folder / name).read_bytes())
    with pytest.raises(EnvironmentProblem, match=r"tokenizer of .*sentencepiece"):
        open_encoder(str(tmp_path))


def test_calibration_sees_the_scores_that_the_predictor_sees(encoder_folder: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = trained(encoder_folder, TINY)
    settings = default_settings().model_copy(update={"temperature": 2.5})
    texts = [text for text, _ in PAIRS] + ["A <<LABEL>> forged", ""]
    logits = router_logits(model, tokenizer, settings, texts, batch_size=5)
    save_router(model, tokenizer, tmp_path, settings)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    verdicts = Router.load(tmp_path).classify(texts)
    chances = torch.softmax(torch.tensor(logits) / 2.5, dim=-1).max(dim=-1)
    for text, place, confidence in zip(texts, chances.indices, chances.values, strict=True):
        assert verdicts[text].task is list(TASKS)[place]
        assert verdicts[text].confidence == pytest.approx(float(confidence), abs=1e-5)


def test_each_distinct_question_counts_once(write_questions: Callable[..., Path]) -> None:
    folder = write_questions(
        [
            record("How  many cells?", TaskType="counting"),
            record("How many cells?", TaskType="Cell Counting"),
            record("How many cells?", TaskType="regression"),
            record("What is it?", TaskType="classification"),
            record("Where is it?", TaskType=""),
            record("", TaskType="counting"),
        ]
    )
    found = distinct_pairs(read_input_folder(folder).questions)
    assert found.pairs == (("How many cells?", TaskType.COUNTING), ("What is it?", TaskType.CLASSIFICATION))
    assert (found.records, found.unknown, found.conflicting) == (6, 2, 1)


def test_questions_without_a_known_task_are_refused(write_questions: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="None of 1 question records declares"):
        distinct_pairs(read_input_folder(write_questions([record(TaskType="?")])).questions)


@pytest.mark.parametrize(
    "variant",
    [
        "Which stage is tooth 36 in? A: First, B: Second",
        "Question: Which stage is tooth 4 in? Options: A) One B) Two C) Three",
        "which stage is tooth 36 in A. First; B. Second",
        "Which stage, is tooth 4.5 in? (A) One (B) Two",
        "Which stage is tooth 11 in: early; late.",
    ],
)
def test_a_stem_leaves_out_what_varies(variant: str) -> None:
    assert question_stem(variant).removesuffix(" options") == "which stage is tooth 0 in"


def test_whole_wordings_are_held_out_of_every_task() -> None:
    pairs = [(f"{text} {number}?", task) for text, task in PAIRS for number in range(3)]
    split = split_by_wording(pairs, share=0.34, seed=0)
    assert sorted(map(str, (*split.training, *split.held_out))) == sorted(map(str, pairs))
    stems = [{question_stem(text) for text, _ in part} for part in (split.training, split.held_out)]
    assert not stems[0] & stems[1]
    for task in TASKS:
        counts = [
            len({question_stem(t) for t, one in part if one == task}) for part in (split.training, split.held_out)
        ]
        assert counts[1] >= 1
        assert counts[0] >= counts[1]
    assert split == split_by_wording(pairs, share=0.34, seed=0)
    assert split != split_by_wording(pairs, share=0.34, seed=1)


def test_a_tasks_only_wording_is_trained_on() -> None:
    split = split_by_wording([("Tooth 1?", TaskType.COUNTING), ("Tooth 2?", TaskType.COUNTING)])
    assert not split.held_out


def test_off_topic_texts_are_seeded_and_held_out_ones_are_others() -> None:
    drawn = training_off_topic(6000, seed=0)
    assert drawn == training_off_topic(6000, seed=0) != training_off_topic(6000, seed=1)
    assert len(set(drawn)) > 3000
    held_out = held_out_off_topic()
    assert len(set(held_out)) == len(held_out) >= 60
    assert not {question_stem(text) for text in held_out if question_stem(text)} & set(map(question_stem, drawn))
    assert len(off_topic_for(700, 0)) / (700 + len(off_topic_for(700, 0))) == OFF_TOPIC_SHARE
    assert not any("{" in text.replace("{ sum", "") for text in (*drawn, *held_out))


@pytest.fixture
def question_tree(write_questions: Callable[..., Path]) -> Path:
    return write_questions([record(text, TaskType=task.value) for text, task in PAIRS if task])


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def test_the_command_writes_a_router_that_loads(question_tree: Path, encoder_folder: Path, tmp_path: Path) -> None:
    options = ("--epochs", 120, "--batch-size", 16, "--learning-rate", 2e-3, "--head-learning-rate", 2e-3)
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, "--device", "cpu", *options)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "off-topic below" in result.output
    router = Router.load(tmp_path / "router")
    figures = json.loads((tmp_path / "router" / CALIBRATION_NAME).read_text())
    assert router.settings.threshold == figures["threshold"]
    assert router.settings.temperature == pytest.approx(figures["temperature"])
    assert figures["accuracy"] >= 0.5
    for path in (tmp_path / "router").glob("*.json"):
        assert str(encoder_folder) not in path.read_text(), path.name
    assert not list((tmp_path / "router").glob("reliability*"))


def test_the_papers_preset_ends_in_an_error_that_says_why(
    question_tree: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    options = ("--preset", "paper", "--epochs", 20, "--learning-rate", 2e-3, "--device", "cpu", "--quiet")
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, *options)
    assert isinstance(result.exception, TrainingFailed)
    assert "--focal-alpha" in str(result.exception)
    assert not (tmp_path / "router").exists()


def test_a_folder_in_use_is_not_overwritten(question_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "router").mkdir()
    (tmp_path / "router" / "model.safetensors").touch()
    result = run(question_tree, "--out", tmp_path / "router")
    assert result.exit_code == 2
    assert "not empty" in result.output


def test_data_with_one_wording_per_task_are_refused(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_questions([record("How many?", TaskType="counting")])
    result = run(folder, "--out", tmp_path / "router")
    assert isinstance(result.exception, InputError)
    assert "held out" in str(result.exception)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="mixed precision needs a CUDA GPU")
def test_mixed_precision_trains_on_a_gpu(encoder_folder: Path) -> None:
    model, tokenizer = fresh(encoder_folder)
    losses = train_router(model, tokenizer, PAIRS * 20, default_settings(), replace(TINY, epochs=3), "cuda")
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
