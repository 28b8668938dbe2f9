from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from mevlip.core.errors import CheckpointError
from mevlip_training.memory import Shape, read_shape, training_memory
from mevlip_training.runs import read_yaml
from mevlip_training.shapes.internvl3 import internvl3_8b
from tests.conftest import DEMO, ROOT

GENERALIST: dict[str, Any] = read_yaml(ROOT / "llamafactory_configs" / "generalist.yaml")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    """InternVL3-8B's shape."""
    folder = tmp_path_factory.mktemp("base")
    internvl3_8b().save_pretrained(folder)
    return read_shape(folder)


def test_the_8b_shape_has_the_numbers_of_the_model(full: Shape) -> None:
    assert full.linear + full.others == 7_944_373_760
    assert 8 * full.sides == 20_185_088, "the trainable numbers in the authors' log"
    assert (full.layers, full.hidden, full.logits) == (28, 3584, 151_674)
    assert full.largest == 3584 * 18_944


@pytest.mark.parametrize(("rows", "tokens", "reserved"), [(2, 400, 9.1e9), (1, 2048, 12.0e9), (2, 2048, 17.3e9)])
def test_the_arithmetic_is_near_what_a_gpu_was_measured_to_reserve(
    full: Shape, rows: int, tokens: int, reserved: float
) -> None:
    computed = training_memory(full, GENERALIST | {"per_device_train_batch_size": rows}, tokens)
    assert computed
    seven_more_adapters = 7 * 20_185_088 * 2  # of the benchmark's checkpoint
    assert computed + seven_more_adapters == pytest.approx(reserved, rel=0.05)


@pytest.mark.parametrize(
    ("change", "larger"),
    [
        ({"double_quantization": False}, True),
        ({"quantization_bit": None}, True),
        ({"lora_rank": 32}, True),
        ({"optim": "adamw_8bit"}, False),
        ({"per_device_train_batch_size": 1}, False),
    ],
)
def test_settings_count(full: Shape, change: dict[str, Any], larger: bool) -> None:
    plain, changed = (training_memory(full, GENERALIST | some, 1000) for some in ({}, change))
    assert plain and changed and plain != changed and (changed > plain) == larger


def test_without_gradient_checkpointing_nothing_is_claimed(full: Shape) -> None:
    assert training_memory(full, GENERALIST | {"disable_gradient_checkpointing": True}, 1000) is None


def test_a_folder_is_read_and_one_without_a_model_named(tmp_path: Path) -> None:
    text = AutoConfig.from_pretrained(DEMO / "base").text_config
    assert read_shape(DEMO / "base").layers == text.num_hidden_layers
    with pytest.raises(CheckpointError, match="is no base model"):
        read_shape(tmp_path)
