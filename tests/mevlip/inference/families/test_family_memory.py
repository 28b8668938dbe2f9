"""What the true shapes of other families take is what arithmetic says, without weights: on the meta device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, DynamicCache

from mevlip.inference.attention import install
from mevlip.inference.families import Family, find_family
from mevlip.inference.memory import cached_bytes, cached_shape, computed_bytes, state_bytes, tile_bytes
from mevlip.inference.packed import PromptPass, Room, Row
from mevlip.inference.vision import Features
from mevlip_training.shapes.gemma3 import medgemma_4b
from mevlip_training.shapes.qwen2_5_vl import qwen2_5_vl_7b
from mevlip_training.shapes.qwen3_5 import qwen3_5_9b
from mevlip_training.shapes.qwen3_vl import qwen3_vl_8b
from tests.mevlip.inference.test_memory import Alive

META = torch.device("meta")
IMAGES = SimpleNamespace(patch_size=14, merge_size=2, temporal_patch_size=2)


@pytest.mark.parametrize(
    "config", [qwen2_5_vl_7b(), medgemma_4b(), qwen3_vl_8b()], ids=["qwen2_5_vl", "gemma3", "qwen3_vl"]
)
@pytest.mark.parametrize("new", [0, 256], ids=["letters", "reports"])
def test_a_pass_through_the_language_model(config: Any, new: int) -> None:
    text = config.text_config
    text.num_hidden_layers = 4  # keys and values are counted for as many
    if config.model_type != "qwen3_vl":
        text.layer_types = text.layer_types[-4:]
    with META:
        model = AutoModel.from_config(text, dtype=torch.bfloat16).eval()
    install(model.config)
    axes = np.tile(np.arange(320), (3, 1)) if config.model_type.startswith("qwen") else None
    rows = [Row(number, (9,) * 250 + (0,) * 70, 270, number if new else None, axes) for number in range(12)]
    room, mutual = Room(320 + new, cached_shape(text), torch.bfloat16), find_family(config.model_type).mutual
    with torch.inference_mode(), Alive() as alive:
        line = PromptPass.lay_out(rows, META, room, 9 if mutual else None)
        states = torch.empty(1, len(line.tokens), text.hidden_size, dtype=torch.bfloat16, device=META)
        positions = torch.from_numpy(line.positions).to(META).unsqueeze(-2)
        model(inputs_embeds=states, position_ids=positions, attention_mask=None, use_cache=False, packed=line)
    cached = 12 * (320 + new) * cached_bytes(text, 2) if new else 0
    said = len(line.tokens) * computed_bytes(text, 2) + cached
    assert 0.7 * said < alive.peak < said


def test_what_a_state_takes() -> None:
    text = qwen3_5_9b().text_config
    assert cached_bytes(text, 2) == 2 * 2 * 8 * 4 * 256, "eight layers of 32 have keys and values"
    assert state_bytes(text, 2) == 24 * (4 * 32 * 128 * 128 + 2 * 4 * 8192)
    assert state_bytes(qwen3_vl_8b().text_config, 2) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("tokens", [320, 2000])
def test_a_prompt_through_layers_that_carry_a_state(dtype: torch.dtype, tokens: int) -> None:
    text = qwen3_5_9b().text_config
    text.num_hidden_layers, text.layer_types, text.vocab_size = 4, text.layer_types[:4], 1000
    with META:
        model = AutoModel.from_config(text, dtype=dtype).eval()
    with torch.inference_mode(), Alive() as alive:
        states = torch.empty(1, tokens, text.hidden_size, dtype=dtype, device=META)
        positions = torch.zeros(4, 1, tokens, dtype=torch.long, device=META)
        cache = DynamicCache(config=text)
        model(inputs_embeds=states, position_ids=positions, past_key_values=cache, use_cache=True)
    item = dtype.itemsize
    said = tokens * (computed_bytes(text, item) + cached_bytes(text, item)) + state_bytes(text, item)
    assert 0.7 * said < alive.peak < said


@pytest.mark.parametrize(
    ("config", "sizes", "device"),
    [
        (qwen2_5_vl_7b(), [(252, 252), (280, 224), (28, 840)], "cpu"),  # it cannot cut its windows on the meta device
        (medgemma_4b(), [(896, 896)] * 4, "meta"),
    ],
    ids=["qwen2_5_vl", "gemma3"],
)
def test_a_pass_through_the_vision_tower(
    config: Any, sizes: list[tuple[int, int]], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family: Family = find_family(config.model_type)
    vision = config.vision_config
    config.text_config.num_hidden_layers = 1
    config.text_config.vocab_size = 1000
    if device == "cpu":
        vision.depth, vision.fullatt_block_indexes = 2, [1]
        config.text_config.intermediate_size = 1
    else:
        vision.num_hidden_layers = 2
    with torch.device(device):
        base = AutoModelForImageTextToText.from_config(config).to(torch.bfloat16).eval()
    monkeypatch.setattr(family, "levels", lambda _: np.zeros((3, 256), np.float32))
    features = Features(base, family, SimpleNamespace(image_processor=IMAGES), torch.device(device), 1)
    tiles = [torch.zeros(3, *size, dtype=torch.uint8, device=device) for size in sizes]
    with torch.inference_mode(), Alive() as alive:
        made = features._encode(tiles)
    said = sum(tile_bytes(vision, family.patch_numbers(vision), 2, *size) for size in sizes)
    each = [height * width // 784 for height, width in sizes]
    assert [len(one) for one in made] == (each if config.model_type == "qwen2_5_vl" else [256] * len(sizes))
    assert 0.7 * said < alive.peak < said
