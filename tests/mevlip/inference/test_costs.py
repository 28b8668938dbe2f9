"""What answering costs, in numbers that hold on any machine: at the real vocabulary and 448-pixel tiles."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mevlip.answers.grammar import OneOf, SomeOf
from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Generation, Picture, Request
from mevlip.inference.engine import Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.vision import Features
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_training.bench.questions import write_questions
from tests.conftest import load_once

IMAGE = 151_667


class Watched:
    """A model that keeps what it was asked and what that cost."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self.adapter = ""
        self.asked: list[tuple[str, Sequence[Request], Generation]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def use(self, adapter: str) -> None:
        self.adapter = adapter
        self._model.use(adapter)

    def generate(self, requests: Sequence[Request]) -> Generation:
        made = self._model.generate(requests)
        self.asked.append((self.adapter, requests, made))
        return made


@pytest.fixture(scope="module")
def model(thin_checkpoint: Path) -> VisionLanguageModel:
    return load_once(open_checkpoint(thin_checkpoint))


def answer(model: VisionLanguageModel, checkpoint: Path, folder: Path, **settings: Any) -> tuple[Watched, Counters]:
    watched, counters = Watched(model), Counters()
    model.forget_pictures()
    predictor = Predictor.find(PredictorSettings(checkpoint=str(checkpoint)), load_model=lambda *_: watched)
    questions, chosen = read_input_folder(folder), AnswerSettings(**settings)
    with ImageStore(questions.root) as store:
        routed = predictor.route(questions.questions, chosen, counters)
        with predictor.engine(routed, chosen, store.load, counters) as engine:
            answers = [answer for batch in engine.run() for answer in batch]
    assert not [one for one in answers if one.failed]
    return watched, counters


def optimum(asked: Sequence[tuple[str, Sequence[Request], Generation]]) -> int:
    """Places of all prompts in one trie for each adapter: what comes after the same tokens and pixels is the same."""
    nodes: set[object] = set()
    for adapter, requests, _ in asked:
        for request in requests:
            pixels = iter([picture.key for picture in request.pictures for _ in range(256 * picture.count)])
            node: object = adapter
            for token in request.prompt.tokens:
                node = hash((node, token, next(pixels) if token == IMAGE else ""))
                nodes.add(node)
    return len(nodes)


@pytest.mark.parametrize(("mix", "least"), [("hidden", 1.4), ("six", 2.5), ("one", 1.0)])
def test_nothing_is_computed_twice(
    model: VisionLanguageModel, thin_checkpoint: Path, tmp_path: Path, mix: Any, least: float
) -> None:
    write_questions(tmp_path / "in", mix, 42)
    watched, cost = answer(model, thin_checkpoint, tmp_path / "in", routing="declared")
    requests = [request for _, part, _ in watched.asked for request in part]
    assert cost.pictures_encoded == len({picture.key for request in requests for picture in request.pictures})
    assert cost.pictures_decoded == cost.pictures_encoded == cost.tiles_encoded
    assert optimum(watched.asked) <= cost.prompt_tokens <= 1.05 * optimum(watched.asked)
    assert sum(len(request.prompt.tokens) for request in requests) >= least * cost.prompt_tokens
    assert cost.generated_tokens - len(requests) == cost.row_steps, "a row takes part while it has something to say"
    assert cost.adapter_switches == len({adapter for adapter, _, _ in watched.asked})
    assert cost.synchronizations <= 2 * cost.forwards


def test_one_adapter_shares_pictures_among_all_tasks(
    model: VisionLanguageModel, thin_checkpoint: Path, tmp_path: Path
) -> None:
    write_questions(tmp_path / "in", "six", 42)
    _, cost = answer(model, thin_checkpoint, tmp_path / "in", routing="generalist")
    assert (cost.adapter_switches, cost.batches) == (1, 1)
    assert cost.shared_prompts == 42 - cost.pictures_encoded == 30


def test_a_picture_that_several_adapters_are_asked_about_is_read_and_encoded_once(
    model: VisionLanguageModel, thin_checkpoint: Path, tmp_path: Path
) -> None:
    import json

    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    for name, shade in (("a.png", 50), ("b.png", 50), ("c.png", 90)):  # the first two are the same picture
        Image.new("RGB", (320, 200), (shade, 80, 60)).save(folder / name)
    rows = [
        {"TaskType": task, "ImageName": name, "Question": "What about this picture?", "Answer": "", "Modality": ""}
        for task in ("Classification", "Regression", "Report Generation")
        for name in ("a.png", "b.png", "c.png")
    ]
    (folder / "x_questions_val.json").write_text(json.dumps(rows))
    _, cost = answer(model, thin_checkpoint, folder, routing="declared")
    assert cost.adapter_switches == 3 and cost.questions == 9
    assert (cost.pictures_decoded, cost.pictures_encoded) == (3, 2)


class Operations(TorchDispatchMode):
    """Counts operators that make the host wait for a device, and those over the whole vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.wide = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "item", "is_nonzero", "equal"):
            self.waits.append(name)
        self.wide += isinstance(made, torch.Tensor) and made.dim() > 0 and made.shape[-1] > 100_000
        return made


@pytest.mark.parametrize("texts", [OneOf(("A", "B", "C")), SomeOf(("Calculus", "Caries", "Root stump"), "; ")])
def test_closed_choices_do_nothing_over_the_whole_vocabulary(model: VisionLanguageModel, texts: Any) -> None:
    model.use("generalist")
    from mevlip.inference.prompts import Prompt

    requests = [Request(model.encode(Prompt(f"Which {n}?", "", 0), []), (), 24, texts) for n in range(8)]
    with Operations() as seen:
        cost = model.generate(requests).cost
    assert (cost.vocabulary_rows, seen.wide, seen.waits) == (0, 0, [])
    assert cost.synchronizations == cost.forwards
    with Operations() as seen:
        cost = model.generate([Request(request.prompt, (), 3, None) for request in requests]).cost
    assert seen.waits == [] and seen.wide and cost.vocabulary_rows == cost.generated_tokens


def test_features_are_kept_within_their_room_and_never_lost_before_their_last_use(model: VisionLanguageModel) -> None:
    from mevlip.inference.completion import Cost

    base, encoder = model._model.get_base_model(), model.encoder
    size = 256 * base.config.get_text_config().hidden_size * base.dtype.itemsize
    features = Features(base, encoder.family, encoder.processor, model.device, 10**9, room=2 * size)

    def picture(shade: int) -> Picture:
        import numpy as np

        return Picture.of(str(shade), np.full((1, 3, 448, 448), shade, dtype=np.uint8))

    with torch.inference_mode():
        first = features.of([picture(1), picture(2), picture(1)], cost := Cost())
        assert (cost.pictures_encoded, set(first)) == (2, {"1", "2"})
        features.of([picture(3)], Cost())
        assert [features.remembers(key) for key in "123"] == [True, True, False], "a third does not fit"
        features.forget("1")
        assert features.remembers("1"), "nobody needs its room yet"
        features.of([picture(4)], Cost())
        assert [features.remembers(key) for key in "1234"] == [False, True, False, True]
        again = features.of([replace(picture(2), tiles=None)], cost := Cost())
        assert cost.pictures_encoded == 0 and torch.equal(again["2"], first["2"])
        with pytest.raises(RuntimeError, match="forgotten before its last question"):
            features.of([replace(picture(9), tiles=None)], Cost())


@pytest.fixture
def threads() -> Iterator[set[str]]:
    yield {thread.name for thread in threading.enumerate()}


def test_no_thread_outlives_the_questions(
    model: VisionLanguageModel, thin_checkpoint: Path, tmp_path: Path, threads: set[str]
) -> None:
    write_questions(tmp_path / "in", "one", 7)
    answer(model, thin_checkpoint, tmp_path / "in", routing="declared")
    left = [thread for thread in threading.enumerate() if thread.name not in threads]
    for thread in left:
        thread.join(timeout=60)
    assert not [thread for thread in left if thread.is_alive()]
