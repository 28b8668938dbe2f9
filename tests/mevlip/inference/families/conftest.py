"""One small untrained checkpoint of each family, and its predictors: the engine and the reference, in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.engine import Answer, Counters
from mevlip.predictor import Predictor
from tests.conftest import EXAMPLES
from tests.mevlip.inference import asking

Pair = tuple[Predictor, Predictor]
Ask = Callable[..., tuple[list[Answer], Counters]]


@pytest.fixture(scope="session")
def load_pair(tiny_checkpoint: Callable[[str], Path]) -> Callable[[str], Pair]:
    """Loads the engine and the reference on a family's checkpoint."""

    def load(name: str) -> Pair:
        return asking.engine_and_reference(tiny_checkpoint(name))

    return load


@pytest.fixture(scope="session")
def examples() -> InputFolder:
    return read_input_folder(EXAMPLES)


@pytest.fixture(scope="session")
def ask(examples: InputFolder) -> Ask:
    """Asks a predictor some of the example questions."""
    return lambda predictor, questions, **settings: asking.ask(predictor, examples, questions, **settings)


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, load_pair: Callable[[str], Pair]) -> Pair:
    """Of the family that the test's module names."""
    return load_pair(request.module.NAME)


@pytest.fixture(scope="module")
def answered(pair: Pair, ask: Ask, examples: InputFolder) -> tuple[list[Answer], Counters]:
    """What the engine says to all examples."""
    return ask(pair[0], examples.questions)


@pytest.fixture(scope="module")
def encoder(request: pytest.FixtureRequest, tiny_checkpoint: Callable[[str], Path]) -> PromptEncoder:
    """Of the family that the test's module names."""
    return PromptEncoder(request.module.NAME, tiny_checkpoint(request.module.NAME) / "base")
