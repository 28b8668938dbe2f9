"""Pretrained encoders as they are published: safetensors, or a pickle and a SentencePiece file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mevlip.core.errors import EnvironmentProblem
from mevlip.routing.router import Router
from mevlip_training import encoders, pickled_weights
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.encoders import open_encoder
from mevlip_training.pickled_weights import convert
from tests.conftest import record
from tests.training.test_router import PAIRS

QUESTIONS = [(one.question(wording, one.targets[0]), one.task) for one in DATASETS for wording in one.wordings]
VOCABULARY = 500


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny DeBERTa with the files of microsoft/deberta-v3-small: half precision in a pickle, an spm.model."""
    from sentencepiece import SentencePieceTrainer
    from transformers import DebertaV2Config, DebertaV2Model

    folder = tmp_path_factory.mktemp("encoder")
    words = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(text for text, _ in QUESTIONS), model_writer=words, vocab_size=VOCABULARY, num_threads=1,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
        unk_piece="[UNK]", user_defined_symbols=["[MASK]"], minloglevel=2,
    )  # fmt: skip
    (folder / "spm.model").write_bytes(words.getvalue())
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=VOCABULARY + 28, hidden_size=48, num_hidden_layers=1, num_attention_heads=2, intermediate_size=96,
        relative_attention=True, position_buckets=16, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        type_vocab_size=0, max_position_embeddings=512, initializer_range=0.2, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    (folder / "config.json").write_text(config.to_json_string(use_diff=False))
    weights = {f"deberta.{name}": one for name, one in DebertaV2Model(config).half().state_dict().items()}
    weights["lm_predictions.lm_head.bias"] = weights["deberta.embeddings.word_embeddings.weight"][:, 0]  # shared
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_converted_only_when_asked_for(encoder_folder: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="--allow-bin"):
        open_encoder(str(encoder_folder))
    encoder, tokenizer = open_encoder(str(encoder_folder), allow_bin=True)
    stored = torch.load(encoder_folder / "pytorch_model.bin", weights_only=True)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, stored[f"deberta.{name}"].float()), name
    assert len(tokenizer) == VOCABULARY
    assert encoder.config._name_or_path == ""


def test_a_sentencepiece_file_is_read_as_its_own_library_reads_it(encoder_folder: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    _, tokenizer = open_encoder(str(encoder_folder), allow_bin=True)
    words = SentencePieceProcessor(model_file=str(encoder_folder / "spm.model"))
    for text, _ in QUESTIONS[::7]:
        assert tokenizer(text)["input_ids"] == [1, *words.encode(text), 2], text


def test_the_documented_command_trains_from_a_pickle_and_a_sentencepiece_file(
    encoder_folder: Path, write_questions: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_questions([record(text, TaskType=task.value) for text, task in PAIRS if task])
    script = "from mevlip.cli.main import main; main()"
    rates = ("--steps", "200", "--batch-size", "16", "--learning-rate", "2e-3", "--head-learning-rate", "2e-3")
    command = ["train", "router", folder, "--out", tmp_path / "router", "--encoder", encoder_folder, "--allow-bin"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command), *rates, "--device", "cpu", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "macro recall" in done.stderr
    router = Router.load(tmp_path / "router")
    named = router.classify(text for text, _ in PAIRS)
    assert sum(named[text].task is task for text, task in PAIRS) >= 0.9 * len(PAIRS)
    assert not list((tmp_path / "router").glob("*.bin"))


class Malicious:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("owned"),)  # type: ignore[return-value]


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "runs code": (lambda path: torch.save({"weight": Malicious()}, path), "Weights only load failed"),
    "not tensors": (
        lambda path: torch.save({"weight": torch.zeros(2), "epoch": 3}, path),
        "something else than tensors",
    ),
    "cut short": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "RuntimeError"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_file_of_tensors_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, cause = HOSTILE[kind]
    make(tmp_path / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match=rf"pytorch_model\.bin cannot be converted to safetensors \(.*{cause}"):
        convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pytorch_model.bin"]


@pytest.mark.slow
def test_a_small_file_cannot_take_all_memory(tmp_path: Path) -> None:
    """A thousand times a billion numbers that are all the same one: 16 bytes in the file, 4 TB written out."""
    torch.save({"weight": torch.zeros(1).expand(1000, 1_000_000_000)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match="cannot be converted"):
        convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")


def test_a_conversion_that_hangs_or_crashes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, timeout: float, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(pickled_weights.subprocess, "run", hang)
    with pytest.raises(EnvironmentProblem, match="is not converted after"):
        convert(tmp_path / "a.bin", tmp_path / "b")
    killed = subprocess.CompletedProcess("python", -9, "", "")
    monkeypatch.setattr(pickled_weights.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(EnvironmentProblem, match="ended with status -9"):
        convert(tmp_path / "a.bin", tmp_path / "b")


@pytest.mark.parametrize("missing", ["sentencepiece", "google.protobuf"])
def test_what_reads_a_sentencepiece_file_is_named_where_it_is_missing(
    missing: str, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "_is_installed", lambda package: package != missing)
    with pytest.raises(EnvironmentProblem, match=rf"{missing} cannot be imported.*pip install 'me-vlip\[router\]'"):
        open_encoder(str(encoder_folder), allow_bin=True)


def test_a_missing_encoder_and_tokenizer_are_named(encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no/such-model.*--encoder"):
        open_encoder("no/such-model")
    with pytest.raises(EnvironmentProblem, match=r"no/such-model.*--encoder"):
        open_encoder("no/such-model", allow_bin=True)
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / name).write_bytes((encoder_folder / name).read_bytes())
    with pytest.raises(EnvironmentProblem, match=r"[Tt]okenizer of .*me-vlip\[router\]"):
        open_encoder(str(tmp_path), allow_bin=True)


def test_safetensors_are_read_even_where_there_is_a_pickle_too(encoder_folder: Path, tmp_path: Path) -> None:
    for path in encoder_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")
    assert load_file(tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"damaged")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "deberta-v2"
    open_encoder(str(tmp_path), allow_bin=True)
