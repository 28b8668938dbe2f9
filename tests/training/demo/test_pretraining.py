from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mevlip.inference.encoder import PromptEncoder
from mevlip_training.demo import base, pretraining
from mevlip_training.demo.pretraining import _FourBit, draw, pretrain
from tests.conftest import DEMO


@pytest.mark.slow
def test_four_bit_weights_are_those_of_bitsandbytes_and_the_full_ones_come_back() -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    torch.manual_seed(1)
    model = nn.ModuleDict({"layer": nn.Linear(64, 32), "lm_head": nn.Linear(64, 8)})
    full, head = model["layer"].weight.detach().clone(), model["lm_head"].weight.detach().clone()
    packed, state = quantize_4bit(full, blocksize=64, quant_type="nf4")
    with _FourBit(model)():
        assert torch.allclose(model["layer"].weight, dequantize_4bit(packed, state), atol=1e-6)
        assert torch.equal(model["lm_head"].weight, head), "the output layer stays as it is"
        model["layer"](torch.ones(1, 64)).sum().backward()
    assert torch.equal(model["layer"].weight, full)
    assert model["layer"].weight.grad is not None


@pytest.mark.model
def test_the_base_learns_and_equal_seeds_teach_it_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "BATCH", 2)
    scenes = sorted(draw(80), key=lambda scene: sum(len(text) for turn in scene.turns for text in turn))[:32]
    tokenizer = base.train_tokenizer(text for scene in scenes for turn in scene.turns for text in turn)
    losses = [pretrain(base.new_model(tokenizer), tokenizer, scenes, steps=10) for _ in range(2)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 10
    assert losses[0][-1] < losses[0][0] - 1


def test_scenes_are_drawn_alike_by_any_number_of_processes() -> None:
    first, second = draw(6), draw(6)
    for one, other in zip(first, second, strict=True):
        assert one.turns == other.turns
        assert (one.pixels == other.pixels).all()


@pytest.mark.model
def test_the_base_is_written_as_the_demo_ships_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = draw(60)
    monkeypatch.setattr(pretraining, "draw", lambda: few)
    monkeypatch.setattr(pretraining, "pretrain", lambda *_: [])
    pretraining.build_base(tmp_path, ["How many cells lie in this field?"])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (DEMO / "base").iterdir()}
    for name in ("preprocessor_config.json", "processor_config.json", "special_tokens_map.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (DEMO / "base" / name).read_bytes()
    assert PromptEncoder("internvl", tmp_path).reserved == PromptEncoder("internvl", DEMO / "base").reserved
