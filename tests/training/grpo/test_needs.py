from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mevlip.checkpoints.routes import Quantization
from mevlip_training.grpo.needs import HEADER, need_row
from mevlip_training.grpo.plan import GrpoRun
from mevlip_training.memory import Sampling, Shape, read_shape, sampling_memory, sampling_operations
from mevlip_training.shapes.internvl3 import internvl3_8b

PAPER = Sampling(
    completions=32, batch=8, prompt=400, answer=64, rank=8, optimizer=8, quantization=Quantization(), has_start=True,
    is_stale=True,
)  # fmt: skip
"""A step with the paper's values on InternVL3-8B."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    """InternVL3-8B's shape."""
    folder = tmp_path_factory.mktemp("base")
    internvl3_8b().save_pretrained(folder)
    return read_shape(folder)


def test_keys_and_values_of_a_token_are_those_of_the_model(full: Shape) -> None:
    assert full.cached * 2 == 57_344, "bytes, as the guide says"


def test_a_step_of_the_8b_model_is_far_above_its_weights_and_below_a_large_card(full: Shape) -> None:
    assert 6e9 < sampling_memory(full, PAPER) < 24e9


@pytest.mark.parametrize(
    "more",
    [
        {"completions": 320}, {"batch": 32}, {"prompt": 4000}, {"answer": 640}, {"rank": 64},
        {"quantization": Quantization(kind="none")},
    ],
)  # fmt: skip
def test_more_of_anything_takes_more_memory(full: Shape, more: dict[str, Any]) -> None:
    assert sampling_memory(full, replace(PAPER, **more)) > sampling_memory(full, PAPER)


@pytest.mark.parametrize("less", [{"has_start": False}, {"is_stale": False}])
def test_a_forward_less_takes_less_time(full: Shape, less: dict[str, Any]) -> None:
    whole, part = sampling_operations(full, PAPER), sampling_operations(full, replace(PAPER, **less))
    assert part == pytest.approx(whole * 5 / 6)


def test_the_dry_run_shows_what_is_asked_and_how_long_it_takes(plan: Callable[..., GrpoRun]) -> None:
    row = dict(zip(HEADER, need_row(plan(gradient_checkpointing=True)), strict=True))
    assert row["rows"] == 8 and row["questions a generation"] == 4 and row["completions"] == 16
    assert row["steps"] == 4 and row["longest answer"] == 8 and row["finished"] == "no"
    assert float(row["GPU GB"]) >= 0 and float(row["hours"]) > 0
