from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mevlip.core.errors import InputError, TrainingFailed
from mevlip.routing.bi_encoder import LABEL_TOKENIZER_NAME
from mevlip.routing.router import Router, score_texts
from mevlip.tasks import TASKS, TaskType
from mevlip_training.acceptance import LEAST_RECALL
from mevlip_training.assembly import assemble
from mevlip_training.calibration import CALIBRATION_NAME, router_logits
from mevlip_training.encoders import open_encoder
from mevlip_training.off_topic import off_topic_for
from mevlip_training.router import (
    BI_ENCODER,
    DEFAULT,
    PAPER,
    RouterTraining,
    default_settings,
    new_bi_encoder,
    new_router,
    save_router,
    train_router,
    two_tokenizers,
)
from mevlip_training.router_cli import router as command
from mevlip_training.router_data import Pair
from tests.conftest import DEMO, record

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
TINY = RouterTraining(steps=16, batch_size=16, learning_rate=3e-3, head_learning_rate=None)


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


@pytest.fixture
def wide_label_encoder(encoder_folder: Path, tmp_path: Path) -> Path:
    """A BERT of another width than the question encoder's, with the same words."""
    from transformers import BertConfig, BertModel

    folder = Path(shutil.copytree(encoder_folder, tmp_path / "labels"))
    torch.manual_seed(1)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=48, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def fresh(folder: Path, plan: RouterTraining = TINY) -> tuple[Any, Any]:
    encoder, tokenizer = open_encoder(str(folder))
    return new_router(encoder, tokenizer, plan), tokenizer


def trained(folder: Path, plan: RouterTraining) -> tuple[Any, Any, list[float]]:
    model, tokenizer = fresh(folder, plan)
    pairs = PAIRS * 6 + [(text, None) for text in off_topic_for(len(PAIRS) * 6, 0)]
    return model, tokenizer, train_router(model, tokenizer, pairs, default_settings(), plan)


def test_the_presets_are_the_papers_but_for_the_class_weight() -> None:
    paper = (PAPER.batch_size, PAPER.learning_rate, PAPER.head_learning_rate, PAPER.focal_alpha, PAPER.focal_gamma)
    assert paper == (8, 1e-5, None, 1.0, 1.0)
    assert replace(BI_ENCODER, architecture="uni-encoder") == DEFAULT
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
        model, tokenizer, _ = trained(encoder_folder, replace(TINY, steps=230, focal_alpha=alpha))
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
    plan = replace(TINY, learning_rate=1e-12)
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


def test_a_bi_encoder_learns_and_is_assembled_and_loaded_by_the_predictor(
    question_tree: Path, encoder_folder: Path, wide_label_encoder: Path, tmp_path: Path
) -> None:
    rates = ("--batch-size", 16, "--learning-rate", 2e-3, "--head-learning-rate", 2e-3)
    encoders = ("--preset", "bi-encoder", "--encoder", encoder_folder, "--label-encoder", wide_label_encoder)
    result = run(question_tree, "--out", tmp_path / "router", *encoders, "--steps", 300, *rates, *CPU)
    assert result.exit_code == 0, (result.output, result.exception)
    shutil.rmtree(wide_label_encoder)  # nothing of it may be needed any more
    parts = {"base": DEMO / "base", "adapters": DEMO / "adapters", "router": tmp_path / "router"}
    made = assemble(tmp_path / "made", **parts, name="x", kind="demo", notice="", probe=False)
    router = Router.load(made.router)
    texts = [text for text, _ in PAIRS]
    alone, together = router.classify(texts, batch_size=1), router.classify(texts)
    assert sum(together[text].task is task for text, task in PAIRS) >= 0.9 * len(PAIRS)
    for text in texts:
        assert alone[text].confidence == pytest.approx(together[text].confidence, abs=1e-4)
    assert LABEL_TOKENIZER_NAME in {path.name for path in (tmp_path / "router").iterdir() if path.is_file()}
    for path in (tmp_path / "router").glob("*.json"):
        assert str(tmp_path) not in path.read_text(), path.name


def test_a_bi_encoders_scores_are_those_of_the_librarys_own_pipeline(
    encoder_folder: Path, wide_label_encoder: Path
) -> None:
    from gliclass.pipeline import BiEncoderZeroShotClassificationPipeline

    (encoder, questions), (labels, words) = (open_encoder(str(one)) for one in (encoder_folder, wide_label_encoder))
    model = new_bi_encoder(encoder, labels, replace(TINY, architecture="bi-encoder"))
    settings, texts = default_settings(), [text for text, _ in PAIRS]
    ours = router_logits(model, two_tokenizers(questions, words), settings, texts)
    model.config.label_model_name = str(wide_label_encoder)
    pipeline = BiEncoderZeroShotClassificationPipeline(model, questions, device="cpu")
    theirs = score_texts(pipeline, settings, texts)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-4)


def test_a_label_encoder_without_the_bi_encoder_is_refused(question_tree: Path, tmp_path: Path) -> None:
    result = run(question_tree, "--out", tmp_path / "router", "--label-encoder", "BAAI/bge-small-en-v1.5")
    assert result.exit_code == 2
    assert "--preset bi-encoder" in result.output


@pytest.fixture
def question_tree(write_questions: Callable[..., Path]) -> Path:
    return write_questions([record(text, TaskType=task.value) for text, task in PAIRS if task])


CPU = ("--device", "cpu", "--quiet")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def test_the_command_writes_a_router_that_loads(question_tree: Path, encoder_folder: Path, tmp_path: Path) -> None:
    options = ("--steps", 360, "--batch-size", 16, "--learning-rate", 2e-3, "--head-learning-rate", 2e-3)
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, "--device", "cpu", *options)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "off-topic below" in result.output
    router = Router.load(tmp_path / "router")
    figures = json.loads((tmp_path / "router" / CALIBRATION_NAME).read_text())
    assert router.settings.threshold == figures["threshold"]
    assert router.settings.temperature == pytest.approx(figures["temperature"])
    assert all(right >= LEAST_RECALL * of for right, of in figures["by_task"].values())
    for path in (tmp_path / "router").glob("*.json"):
        assert str(encoder_folder) not in path.read_text(), path.name
    assert not list((tmp_path / "router").glob("reliability*"))


def test_the_papers_preset_ends_in_an_error_that_says_why(
    question_tree: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    options = ("--preset", "paper", "--steps", 60, "--learning-rate", 2e-3, "--device", "cpu", "--quiet")
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, *options)
    assert isinstance(result.exception, TrainingFailed)
    assert "--focal-alpha" in str(result.exception)
    assert not (tmp_path / "router").exists()


def test_a_router_that_calls_everything_alike_is_not_written(
    question_tree: Path, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapsed(*arguments: Any, **options: Any) -> Any:
        logits = router_logits(*arguments, **options)
        logits[:, list(TASKS).index(TaskType.MULTI_LABEL)] = logits.max() + 1
        return logits

    monkeypatch.setattr("mevlip_training.calibration.router_logits", collapsed)
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, "--steps", 40, *CPU)
    assert isinstance(result.exception, TrainingFailed), result.output
    assert f"one task whatever it is asked: {TASKS[TaskType.MULTI_LABEL].title}" in str(result.exception)
    assert not (tmp_path / "router").exists()


def test_far_too_few_steps_are_refused_with_each_tasks_recall(
    question_tree: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    options = ("--steps", 12, "--learning-rate", 1e-3, "--head-learning-rate", 1e-3)
    result = run(question_tree, "--out", tmp_path / "router", "--encoder", encoder_folder, *options, *CPU)
    assert isinstance(result.exception, TrainingFailed), result.output
    assert "(0 of 1)" in str(result.exception) or "one task whatever" in str(result.exception)
    assert "--steps" in str(result.exception)
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
    losses = train_router(model, tokenizer, PAIRS * 20, default_settings(), replace(TINY, steps=160), "cuda")
    assert np.isfinite(losses).all()
    assert sum(losses[-20:]) < sum(losses[:20])
