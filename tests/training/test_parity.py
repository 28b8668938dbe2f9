"""What LLaMA-Factory trains on is what the predictor asks: token ids, pixels, loss mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints.routes import PromptSettings, Thinking
from mevlip.inference.encoder import PromptEncoder
from mevlip.tasks import TaskType
from mevlip_training.runs import disagreements
from tests.conftest import DEMO, needs_training_environment
from tests.training.parity import Rows, differences, length_differences, train

pytestmark = [needs_training_environment, pytest.mark.model]
BASE = DEMO / "base"
LONG = {"cutoff_len": 4096}
"""Eleven slices are 2,816 visual tokens, more than the published cut-off."""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, thin_checkpoint: Path) -> tuple[Rows, Rows, Rows, Rows]:
    """Rows of the demo's base, of one with the real vocabulary and tiles, of that one with images announced, and of it
    asked to think.

    They go through one process of LLaMA-Factory.
    """
    variants: dict[str, dict[str, Any]] = {
        "system": {"default_system": None, **LONG},  # comes first: LLaMA-Factory keeps a system text for later runs
        "agreed": LONG,
        "backend": {"use_fast_tokenizer": True, **LONG},
        "tiles": {"crop_to_patches": True, **LONG},
        "pixels": {"image_max_pixels": 64 * 64, **LONG},
    }
    demo = Rows(tmp_path_factory.mktemp("parity"), BASE, variants)
    # Thirteen tiles of an image are 3,328 visual tokens, more than the published cut-off.
    variants = {"whole": LONG, "tiles": {"crop_to_patches": True, "cutoff_len": 16_384}}
    true = Rows(tmp_path_factory.mktemp("true-parity"), thin_checkpoint / "base", variants, each=1)
    prompt = PromptSettings(image_mark="Image-{number}: ")
    folder = tmp_path_factory.mktemp("announced-parity")
    announced = Rows(folder, thin_checkpoint / "base", {"agreed": LONG}, each=1, prompt=prompt)
    prompt = PromptSettings(image_mark="Image-{number}: ", thinking=Thinking())
    thinking = Rows(tmp_path_factory.mktemp("thinking"), thin_checkpoint / "base", {"agreed": LONG}, 1, prompt)
    train(demo, true, announced, thinking)
    return demo, true, announced, thinking


@pytest.fixture(scope="module")
def rows(several: tuple[Rows, ...]) -> Rows:
    return several[0]


@pytest.fixture(scope="module")
def true_rows(several: tuple[Rows, ...]) -> Rows:
    return several[1]


@pytest.fixture(scope="module")
def announced_rows(several: tuple[Rows, ...]) -> Rows:
    return several[2]


@pytest.fixture(scope="module")
def thinking_rows(several: tuple[Rows, ...]) -> Rows:
    return several[3]


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder("internvl", BASE)


def test_the_rows_cover_every_task_and_several_images(rows: Rows) -> None:
    assert {rows.questions[row["id"]].declared for row in rows.rows} == set(TaskType)
    assert {len(row["images"]) for row in rows.rows} == {1, 2, 3, 4, 8, 11}
    assert sum(row["id"].startswith("odd/") for row in rows.rows) == 9
    assert not disagreements(rows.settings, rows.route)


def test_training_and_prediction_agree_on_ids_pixels_and_loss_mask(rows: Rows, encoder: PromptEncoder) -> None:
    assert differences(rows, "agreed", rows.route, encoder) == set()


@pytest.mark.parametrize("variant", ["whole", "tiles"])
def test_rows_are_as_long_as_they_were_counted(true_rows: Rows, thin_checkpoint: Path, variant: str) -> None:
    images = true_rows.route.images.model_copy(update={"crop_to_patches": variant == "tiles"})
    route = true_rows.route.model_copy(update={"images": images})
    assert length_differences(true_rows, variant, route, thin_checkpoint / "base") == []


@pytest.mark.parametrize("variant", ["whole", "tiles"])
def test_they_agree_on_the_real_vocabulary_and_448_pixel_tiles(
    true_rows: Rows, thin_checkpoint: Path, variant: str
) -> None:
    images = true_rows.route.images.model_copy(update={"crop_to_patches": variant == "tiles"})
    route = true_rows.route.model_copy(update={"images": images})
    encoder = PromptEncoder("internvl", thin_checkpoint / "base")
    assert differences(true_rows, variant, route, encoder) == set()
    tiles = {len(true_rows.trained[variant][f"{index}.pixel_values"]) for index in range(len(true_rows.rows))}
    assert max(tiles) == (11 if variant == "whole" else 52), "slices; four images of twelve tiles and a thumbnail each"
    assert true_rows.trained[variant]["0.pixel_values"].shape[1:] == (3, 448, 448)


def test_they_agree_on_images_that_are_announced(announced_rows: Rows, thin_checkpoint: Path) -> None:
    encoder, route = PromptEncoder("internvl", thin_checkpoint / "base"), announced_rows.route
    texts = {len(row["images"]): row["conversations"][0]["value"] for row in announced_rows.rows}
    assert texts[3].startswith("Image-1: <image>\nImage-2: <image>\nImage-3: <image>\n")
    assert texts[1].startswith("<image>\n") and set(texts) == {1, 2, 3, 4, 8, 11}
    assert differences(announced_rows, "agreed", route, encoder) == set()
    other = route.model_copy(update={"prompt": PromptSettings(image_mark="Image {number}: ")})
    assert differences(announced_rows, "agreed", other, encoder) == {"ids"}


def test_they_agree_on_what_asks_for_thinking(thinking_rows: Rows, thin_checkpoint: Path) -> None:
    encoder, route = PromptEncoder("internvl", thin_checkpoint / "base"), thinking_rows.route
    assert route.prompt.thinking == Thinking()
    for row in thinking_rows.rows:
        first = "Image-1: <image>\n" if len(row["images"]) > 1 else "<image>\n"
        assert row["conversations"][0]["value"].startswith(f"{Thinking().preset}\n{first}")
    assert differences(thinking_rows, "agreed", route, encoder) == set()
    assert length_differences(thinking_rows, "agreed", route, thin_checkpoint / "base") == []
    assert differences(thinking_rows, "agreed", route.with_thinking("16"), encoder) == set(), (
        "the budget is not part of the text"
    )
    assert differences(thinking_rows, "agreed", route.with_thinking("off"), encoder) == {"ids"}


@pytest.mark.parametrize(
    ("variant", "seen"), [("system", "ids"), ("tiles", "pixels"), ("backend", "pixels"), ("pixels", "pixels")]
)
def test_a_setting_changed_in_training_alone_is_noticed(
    rows: Rows, encoder: PromptEncoder, variant: str, seen: str
) -> None:
    assert seen in differences(rows, variant, rows.route, encoder)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"prompt": PromptSettings(template="Question: {question}")}, "ids"),
        ({"prompt": PromptSettings(system="Be brief.")}, "ids"),
        ({"crop_to_patches": True}, "pixels"),
        ({"max_pixels": 64 * 64}, "pixels"),
        ({"max_count": 1}, "ids"),
    ],
)
def test_a_setting_changed_in_prediction_alone_is_noticed(
    rows: Rows, encoder: PromptEncoder, change: dict[str, Any], seen: str
) -> None:
    if "prompt" in change:
        route = rows.route.model_copy(update=change)
    else:
        route = rows.route.model_copy(update={"images": rows.route.images.model_copy(update=change)})
    assert seen in differences(rows, "agreed", route, encoder)
