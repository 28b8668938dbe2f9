"""Recorded passes, with a stand-in for CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from mevlip.answers.grammar import OneOf
from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.inference.completion import Generation, Request
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import Prompt
from mevlip.inference.steps import PLAIN, Recorder
from tests.mevlip.inference.tape import record_tape

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> VisionLanguageModel:
    return VisionLanguageModel.load(checkpoint, torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def recording(model: VisionLanguageModel) -> Iterator[Callable[[Any], None]]:
    """Sets how the model records passes."""
    before = model._generator._record  # type: ignore[union-attr]

    def choose(record: Any) -> None:
        model._generator._record = Recorder(record)  # type: ignore[union-attr]

    yield choose
    model._generator._record = before  # type: ignore[union-attr]


@pytest.fixture
def requests(model: VisionLanguageModel) -> list[Request]:
    """Answers of 2 to 40 tokens, which are done at different times, beside letters that are known at once."""
    model.use("generalist")

    def request(number: int, tokens: int, grammar: OneOf | None = None) -> Request:
        words = " ".join(["What", "else", "is", "there", "to", "see"][: 1 + number % 6])
        return Request(model.encode(Prompt(f"{words}?", "", 0), []), (), tokens, grammar)

    lengths = (3, 40, 2, 9, 9, 21, 14)
    letters = [request(number, 5, OneOf(("A", "B"))) for number in range(2)]
    return [*letters, *(request(number, tokens) for number, tokens in enumerate(lengths))]


def texts(made: Generation) -> list[tuple[str, int, float]]:
    return [(one.text, one.tokens, pytest.approx(one.probability, abs=1e-4)) for one in made.completions]


def test_recorded_passes_write_the_same_answers(
    model: VisionLanguageModel, requests: list[Request], recording: Callable[[Any], None]
) -> None:
    plain = model.generate(requests)
    assert plain.cost.recorded_passes == 0, "without a GPU there is nothing to gain"
    recording(record_tape)
    recorded = model.generate(requests)
    assert texts(recorded) == texts(plain)
    assert recorded.cost.recorded_passes == 1
    assert recorded.cost.forwards == plain.cost.forwards > 2 * PLAIN
    assert recorded.cost.row_steps == plain.cost.row_steps
    assert recorded.cost.synchronizations == plain.cost.synchronizations + 1


def test_short_answers_are_not_worth_a_recording(
    model: VisionLanguageModel, requests: list[Request], recording: Callable[[Any], None]
) -> None:
    recording(record_tape)
    short = [Request(one.prompt, (), min(one.max_new_tokens, PLAIN + 1), one.grammar) for one in requests]
    cost = model.generate(short).cost
    assert (cost.forwards, cost.recorded_passes) == (PLAIN + 1, 0)


def test_what_cannot_be_recorded_is_written_without_and_said_once(
    model: VisionLanguageModel,
    requests: list[Request],
    recording: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, tried = model.generate(requests), []

    def fail(_function: object) -> Any:
        tried.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    recording(fail)
    with caplog.at_level(logging.WARNING, "mevlip.inference.steps"):
        for _ in range(2):
            made = model.generate(requests)
            assert (texts(made), made.cost) == (texts(plain), plain.cost)
    assert len(tried) == 1
    [warning] = caplog.records
    assert "not permitted when stream is capturing" in warning.getMessage() and "more slowly" in warning.getMessage()


def test_where_there_is_no_memory_to_record_a_batch_is_written_without(
    model: VisionLanguageModel,
    requests: list[Request],
    recording: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, tried = model.generate(requests), []

    def fail_first(function: Callable[[], torch.Tensor]) -> Any:
        tried.append(1)
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record_tape(function)

    recording(fail_first)
    with caplog.at_level(logging.WARNING, "mevlip.inference.steps"):
        made = model.generate(requests)
        assert (texts(made), made.cost) == (texts(plain), plain.cost)
        again = model.generate(requests)
    assert (texts(again), again.cost.recorded_passes) == (texts(plain), 1)
    assert not caplog.records
