"""A family is one file, found by being there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings, Quantization
from mevlip.core.errors import CheckpointError
from mevlip.inference import families
from mevlip.inference.attention import looked_at
from mevlip.inference.families import base_family, find_family
from mevlip.inference.loading import load_base
from mevlip.inference.memory import MOST_TILES, passes
from mevlip.inference.packed import PromptPass, Room, Row, StepPass

CPU = torch.device("cpu")


def test_a_file_that_is_put_there_is_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a base that shows each image as one token, without a processor of its own."""
    (tmp_path / "planted_vl.py").write_text(
        "from mevlip.inference.families.base import Family\n\n\n"
        "class _Planted(Family):\n"
        "    template = 'planted'\n\n"
        "    def load_processor(self, folder):\n"
        "        return None\n\n"
        "    def image_ids(self, processor):\n"
        "        return [1]\n\n"
        "    def largest(self, processor, settings):\n"
        "        return 1, 3, 8, 8\n\n"
        "    def image_text(self, processor, size):\n"
        "        return '<one>' * size[0]\n\n\n"
        "FAMILY = _Planted()\n",
        "utf-8",
    )
    assert "planted_vl" not in families.families()
    with pytest.raises(CheckpointError, match="'planted_vl' cannot be predicted with"):
        find_family("planted_vl").image_text(None, (1, 3, 8, 8))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mevlip.inference.families.planted_vl", raising=False)
    family = find_family("planted_vl")
    assert (family.template, family.image_text(None, (2, 3, 8, 8)), family.mutual) == ("planted", "<one><one>", False)
    assert family.positions(None, np.arange(3), []) is None
    assert "planted_vl" in families.families()


@pytest.mark.parametrize("name", ["base", "llava", "", "internvl.x"])
def test_what_has_no_file_is_refused_with_the_types_that_have_one(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        find_family(name).inputs(None, [])
    assert "gemma3, internvl, qwen2_5_vl, qwen3_5, qwen3_vl" in caught.value.remedy


def test_a_base_in_internvls_original_layout_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl_chat", "auto_map": {"AutoModel": "x.X"}}')
    for refuse in (base_family, lambda folder: load_base(folder, Quantization(), CPU)):
        with pytest.raises(CheckpointError, match=f"{tmp_path} has InternVL's original layout") as caught:
            refuse(tmp_path)
        assert f"mevlip checkpoint convert {tmp_path} NEW" in caught.value.remedy


@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_tokens_look_back_at_a_windows_width(window: int | None) -> None:
    seen = looked_at(torch.arange(6), 6, window).numpy()
    for asking in range(6):
        first = 0 if window is None else max(0, asking - window + 1)
        assert np.flatnonzero(seen[asking]).tolist() == list(range(first, asking + 1))


@pytest.mark.parametrize("length", [None, 16])
@pytest.mark.parametrize("window", [None, 2, 5])
def test_a_line_attends_as_each_of_its_rows_alone_does(window: int | None, length: int | None) -> None:
    """Shared beginnings, pictures that look both ways, windows, and the steps after the prompts."""
    picture, heads, few, width = 7, 4, 2, 8
    beginning = (1, 7, 7, 7, 2, 7, 7)
    rows = [
        Row("a", (*beginning, 3, 4), 7, 0),
        Row("a", (*beginning, 5), 7, 1),
        Row("b", (*beginning, 3, 4, 5, 6), 7, 2),
        Row(None, (1, 2, 3), 0, 3),
    ]
    line = PromptPass.lay_out(rows, CPU, Room(16, (1, few, width), torch.float32), picture)
    generator = torch.Generator().manual_seed(0)
    table = [torch.randn(10, count, width, generator=generator) for count in (heads, few, few)]

    def states(tokens: np.ndarray, places: np.ndarray) -> list[torch.Tensor]:
        """Of a token and its place, so that rows know theirs in the line."""
        made = [one[torch.from_numpy(tokens)] for one in table]
        return [(one + torch.from_numpy(places)[:, None, None] / 7).transpose(0, 1) for one in made]

    def alone(tokens: tuple[int, ...], prompt: int) -> torch.Tensor:
        queries, keys, values = states(np.array(tokens), np.arange(len(tokens)))
        allowed = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
        for asking in range(len(tokens)):
            for asked in range(len(tokens)):
                back = 0 <= asking - asked < (window or 99)
                span = tokens[min(asking, asked) : max(asking, asked) + 1]
                allowed[asking, asked] = back or (max(asking, asked) < prompt and set(span) == {picture})
        keys, values = (one.repeat_interleave(heads // few, 0) for one in (keys, values))
        weights = (queries @ keys.transpose(1, 2) * 0.3).masked_fill(~allowed, -torch.inf).softmax(-1)
        return (weights @ values).transpose(0, 1)

    made = line.attend(0, *states(line.tokens, line.positions), 0.3, window)
    for row, last in zip(rows, line.last, strict=True):
        torch.testing.assert_close(made[last], alone(tuple(row.tokens), len(row.tokens))[-1])
    cache, grown = line.cache, [tuple(row.tokens) for row in rows]
    assert cache is not None
    for token in (7, 3, 8):
        places, positions = cache.advance(4)
        assert positions.tolist() == [len(one) for one in grown]
        step = StepPass(cache, torch.from_numpy(places), length or int(places.max()) + 1)
        made = step.attend(0, *states(np.array([token] * 4), positions), 0.3, window)
        grown = [(*one, token) for one in grown]
        for own, tokens, row in zip(made, grown, rows, strict=True):
            torch.testing.assert_close(own, alone(tokens, len(row.tokens))[-1])


def test_tiles_of_different_sizes_go_together_as_far_as_there_is_room() -> None:
    def split(sizes: list[int], room: int) -> list[list[int]]:
        return [sizes[part] for part in passes(sizes, room)]

    assert split([3, 3, 4, 11, 1], 10) == [[3, 3, 4], [11], [1]]
    assert split([], 10) == []
    assert [len(part) for part in split([1] * 40, 10**9)] == [MOST_TILES, MOST_TILES, 8]


@pytest.mark.model
def test_most_tokens_of_an_image_follow_its_budget_of_pixels(tiny_checkpoint: Callable[[str], Path]) -> None:
    """At 448 x 448 an image of Qwen2.5-VL takes InternVL's 256 tokens, and a long one a third more."""
    family = find_family("qwen2_5_vl")
    processor = family.load_processor(tiny_checkpoint("qwen2_5_vl") / "base")
    square = family.tiles(processor, Image.new("RGB", (448, 448)), {})
    assert square.shape == (1, 3, 448, 448)
    _, _, height, width = family.largest(processor, ImageSettings(max_pixels=448 * 448))
    assert 256 <= height * width // 784 <= 1.35 * 256
