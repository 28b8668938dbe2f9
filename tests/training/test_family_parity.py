"""What LLaMA-Factory trains on is what the predictor asks, for bases of other families than InternVL.

Qwen2.5-VL has its real vocabulary here, Gemma 3 a small one with its special tokens: its own is not to be had offline.
Qwen3-VL and Qwen3.5 have the demo's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints.routes import PromptSettings, Thinking
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.families import find_family
from mevlip.inference.prompts import IMAGE_PLACE
from mevlip.tasks import TaskType
from mevlip_training.families import misfits
from mevlip_training.runs import read_yaml
from mevlip_training.shapes import gemma3, qwen2_5_vl, qwen3_5, qwen3_vl
from tests.conftest import DEMO, ROOT, needs_training_environment
from tests.training.parity import Rows, differences, length_differences, train

pytestmark = [needs_training_environment, pytest.mark.model]
FAMILIES = ("qwen2_5_vl", "gemma3", "qwen3_vl", "qwen3_5")
CONFIGS = ROOT / "llamafactory_configs"


class Case:
    """A family's base without weights, its rows, and its encoder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.base = base = folder / "base"
        base.mkdir()
        if name == "gemma3":
            tokenizer = gemma3.small_tokenizer(DEMO / "base")
            gemma3.family(tokenizer, 896, 256).write_encoder(base)
            gemma3.tiny(tokenizer).save_pretrained(base)
            config, self.end = "medgemma_4b", "<end_of_turn>"
        elif name == "qwen3_vl":
            qwen3_vl.family(tokenizer := qwen3_vl.small_tokenizer(DEMO / "base")).write_encoder(base)
            qwen3_vl.tiny(tokenizer).save_pretrained(base)
            config, self.end = "qwen3_vl_8b", "<|im_end|>"
        elif name == "qwen3_5":
            qwen3_5.family(tokenizer := qwen3_5.small_tokenizer(DEMO / "base")).write_encoder(base)
            qwen3_5.tiny(tokenizer).save_pretrained(base)
            config, self.end = "qwen3_5_9b", "<|im_end|>"
        else:
            qwen2_5_vl.family(tokenizer := qwen2_5_vl.true_tokenizer()).write_encoder(base)
            qwen2_5_vl.tiny(tokenizer).save_pretrained(base)
            config, self.end = "qwen2_5_vl_7b", "<|im_end|>"
        self.config = read_yaml(CONFIGS / config / "generalist.yaml")
        kept = ("template", "default_system", "image_max_pixels", "image_min_pixels", "image_do_pan_and_scan")
        asked: dict[str, Any] = {key: self.config.get(key) for key in kept} | {
            "crop_to_patches": None, "cutoff_len": 8192,
        }  # fmt: skip
        self.rows = Rows(folder, base, {"agreed": asked, "system": {**asked, "default_system": "Be brief."}}, each=1)
        prompt = PromptSettings(image_mark="Image-{number}: ")
        (announced := folder / "announced").mkdir()
        self.announced = Rows(announced, base, {"agreed": asked}, each=1, prompt=prompt)
        prompt = PromptSettings(image_mark="Image-{number}: ", thinking=Thinking())
        (thinking := folder / "thinking").mkdir()
        self.thinking = Rows(thinking, base, {"agreed": asked}, each=1, prompt=prompt)
        pixels = self.config["image_max_pixels"]
        images = self.rows.route.images.model_copy(update={"max_pixels": pixels})
        self.route = self.rows.route.model_copy(update={"images": images})
        self.encoder = PromptEncoder(name, base)
        self.family = find_family(name)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Each family's, through one process of LLaMA-Factory."""
    found = {name: Case(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}
    train(*(rows for case in found.values() for rows in (case.rows, case.announced, case.thinking)))
    return found


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def test_training_and_prediction_agree_on_ids_pixels_and_loss_mask(case: Case) -> None:
    assert {case.rows.questions[row["id"]].declared for row in case.rows.rows} == set(TaskType)
    assert {len(row["images"]) for row in case.rows.rows} == {1, 2, 3, 4, 8, 11}
    assert differences(case.rows, "agreed", case.route, case.encoder, case.end) == set()


def test_rows_are_as_long_as_they_were_counted(case: Case) -> None:
    assert length_differences(case.rows, "agreed", case.route, case.base) == []
    route = case.route.model_copy(update={"prompt": case.announced.route.prompt})
    assert length_differences(case.announced, "agreed", route, case.base) == []


def test_they_agree_on_images_that_are_announced(case: Case) -> None:
    texts = {len(row["images"]): row["conversations"][0]["value"] for row in case.announced.rows}
    assert texts[2].startswith("Image-1: <image>Image-2: <image>") and texts[1].startswith("<image>")
    route = case.route.model_copy(update={"prompt": case.announced.route.prompt})
    assert differences(case.announced, "agreed", route, case.encoder, case.end) == set()
    assert "ids" in differences(case.announced, "agreed", case.route, case.encoder, case.end)


def test_they_agree_on_what_asks_for_thinking(case: Case) -> None:
    assert all(row["conversations"][0]["value"].startswith(f"{Thinking().preset}\n") for row in case.thinking.rows)
    route = case.route.model_copy(update={"prompt": case.thinking.route.prompt})
    assert differences(case.thinking, "agreed", route, case.encoder, case.end) == set()
    assert length_differences(case.thinking, "agreed", route, case.base) == []
    assert "ids" in differences(case.thinking, "agreed", case.route, case.encoder, case.end)


def test_a_setting_changed_on_one_side_is_noticed(case: Case) -> None:
    assert "ids" in differences(case.rows, "system", case.route, case.encoder, case.end)
    images = case.route.images.model_copy(update={"max_pixels": 100 * 100})
    other = case.route.model_copy(update={"images": images})
    assert "pixels" in differences(case.rows, "agreed", other, case.encoder, case.end)


def test_nothing_stands_between_an_image_and_the_text(case: Case) -> None:
    for row in case.rows.rows:
        assert f"{IMAGE_PLACE}\n" not in row["conversations"][0]["value"]
    assert case.config["template"] == case.family.template
    assert not list(misfits(case.family, case.config, []))
