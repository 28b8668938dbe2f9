from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import InputError
from mevlip_training.grpo.settings import CONFIG, check_settings
from mevlip_training.runs import read_yaml

PAPER = read_yaml(CONFIG)


def test_the_settings_are_those_of_the_paper() -> None:
    given = check_settings(PAPER, CONFIG).model_dump()
    assert {
        "num_generations": 8,
        "temperature": 0.9,
        "beta": 0.04,
        "learning_rate": 1e-6,
        "weight_decay": 0.0,
        "warmup_ratio": 0.1,
        "lr_scheduler_type": "cosine",
        "num_train_epochs": 1.0,
        "max_grad_norm": 1.0,
        "steps_per_generation": 4,
    }.items() <= given.items()
    assert given["max_steps"] == 0


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"learning_rat": 1}, "learning_rat"),
        ({"num_generations": 1}, "num_generations"),
        ({"num_generations": 3}, "multiple of num_generations"),
        ({"gradient_accumulation_steps": 3}, "divides the other"),
        ({"save_steps": 2}, "save_steps is a multiple of 4"),
        ({"temperature": 0}, "temperature"),
        ({"limits": {"windows": 3}}, "limits.windows"),
        ({"report_to": "wandb"}, "report_to"),
    ],
)
def test_an_impossible_setting_is_named(overlay: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_settings(PAPER | overlay, CONFIG)


def test_one_epoch_asks_every_question_once() -> None:
    settings = check_settings(PAPER, CONFIG)
    assert (settings.completions, settings.questions, settings.round) == (32, 4, 4)
    assert settings.steps(100) == 100  # 25 generations of 4 questions, 4 steps on each
    assert settings.steps(103) == 100


@given(
    batch=st.integers(1, 16), group=st.integers(2, 16), batches=st.integers(1, 8), accumulated=st.integers(1, 8),
    rows=st.integers(0, 1000),
)  # fmt: skip
def test_settings_are_refused_or_every_generation_holds_whole_groups_and_whole_steps(
    batch: int, group: int, batches: int, accumulated: int, rows: int
) -> None:
    changes = {
        "per_device_train_batch_size": batch,
        "num_generations": group,
        "steps_per_generation": batches,
        "gradient_accumulation_steps": accumulated,
        "save_steps": 840,
    }
    try:
        settings = check_settings(PAPER | changes, CONFIG)
    except InputError:
        assert (batch * batches) % group or (batches % accumulated and accumulated % batches) or 840 % batches
        return
    assert settings.questions * group == batch * batches
    assert settings.steps(rows) * accumulated >= rows // settings.questions * batches
