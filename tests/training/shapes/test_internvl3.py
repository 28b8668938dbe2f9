"""Random checkpoints have the shape, the names and the files of the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import InternVLForConditionalGeneration

from mevlip_training import sharding
from mevlip_training.shapes import internvl3
from mevlip_training.shapes.internvl3 import internvl3_8b, random_adapter, shapes, thin, write_weights
from tests.conftest import DEMO


def test_the_full_shape_has_the_published_number_of_parameters() -> None:
    assert sum(shape.numel() for shape in shapes(internvl3_8b()).values()) == 7_944_373_760


def test_its_adapters_have_the_number_of_a_rank_8_adapter_of_seven_projections() -> None:
    layers = [
        shape for name, shape in shapes(internvl3_8b()).items()
        if ".language_model.layers." in name and name.removesuffix(".weight").endswith(internvl3.PROJECTIONS)
    ]  # fmt: skip
    assert len(layers) == 28 * 7
    assert sum(8 * (rows + columns) for rows, columns in layers) == 20_185_088


def test_a_tile_has_256_visual_tokens_and_the_logits_are_one_fewer_than_the_tokens() -> None:
    for config in (internvl3_8b(), thin()):
        assert config.image_seq_length == 256
        assert config.vision_config.image_size == [448, 448]
        assert config.text_config.vocab_size == 151_674


@pytest.mark.model
def test_weights_lie_under_the_names_that_transformers_saves(tmp_path: Path) -> None:
    config = thin()
    write_weights(tmp_path / "ours", config, seed=1)
    model = InternVLForConditionalGeneration.from_pretrained(tmp_path / "ours", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "theirs")
    with (
        safe_open(tmp_path / "ours/model.safetensors", "pt") as ours,
        safe_open(tmp_path / "theirs/model.safetensors", "pt") as theirs,
    ):
        assert set(ours.keys()) == set(theirs.keys())
        for key in ours.keys():  # noqa: SIM118 - a file, not a dictionary
            assert torch.equal(ours.get_tensor(key), theirs.get_tensor(key))


@pytest.mark.model
def test_weights_in_several_files_are_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = thin()
    write_weights(tmp_path / "one", config, seed=1)
    monkeypatch.setattr(sharding, "SHARD_BYTES", 90_000_000)
    write_weights(tmp_path / "many", config, seed=1)
    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_bytes())
    assert len(set(index["weight_map"].values())) > 1
    one, many = (
        InternVLForConditionalGeneration.from_pretrained(tmp_path / name, dtype=torch.bfloat16).state_dict()
        for name in ("one", "many")
    )
    assert all(torch.equal(one[key], many[key]) for key in one)


def test_adapters_have_the_keys_that_llamafactory_wrote_for_the_demo() -> None:
    with safe_open(DEMO / "adapters/detection/adapter_model.safetensors", "pt") as file:
        trained = {key for key in file.keys() if ".layers.0." in key or ".layers.1." in key}  # noqa: SIM118
    assert set(random_adapter(thin(), 8, 1)) == trained
