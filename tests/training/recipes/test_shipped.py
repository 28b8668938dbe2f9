"""What the shipped recipes say of training, beside the configs and the published figures."""

from __future__ import annotations

from typing import Any

import pytest

from mevlip.tasks import GENERALIST, adapter_names
from mevlip_training.data.rows import Choices
from mevlip_training.recipes.reading import read_recipe, shipped_recipes
from mevlip_training.runs import read_yaml
from tests.conftest import ROOT

CONFIGS = ROOT / "llamafactory_configs"


def settings(name: str, adapter: str) -> dict[str, Any]:
    """What LLaMA-Factory would be given, but for paths."""
    return read_yaml(CONFIGS / f"{adapter}.yaml") | read_recipe(name).recipe.overlay(adapter)


@pytest.mark.parametrize("adapter", adapter_names())
def test_the_papers_recipe_is_the_default(adapter: str) -> None:
    assert settings("paper", adapter) == read_yaml(CONFIGS / f"{adapter}.yaml")
    assert Choices().by(read_recipe("paper"), adapter) == Choices()


def test_as_released_trains_the_generalist_as_the_preset_does() -> None:
    preset = read_yaml(CONFIGS / "presets" / "as_released.yaml")
    ours = settings("as-released", GENERALIST)
    differing = {key for key in ours.keys() | preset.keys() if ours.get(key) != preset.get(key)}
    assert differing == {"dataset_dir", "output_dir", "lora_target"}  # `all` is the same seven projections
    choices = Choices().by(read_recipe("as-released"), GENERALIST)
    assert (choices.images, choices.box_space, choices.quantization.double) == ("explode", "pixel", False)


def test_hexapus_has_its_published_ranks_pixels_and_rows() -> None:
    recipe = read_recipe("hexapus-2026").recipe
    published = {
        "classification": (32, 64, 2048**2, True),
        "multi_label_classification": (64, 128, 2048**2, True),
        "counting": (8, 16, 2048**2, True),
        "detection": (8, 16, 2048**2, True),
        "regression": (8, 16, 2048**2, False),
        "report_generation": (8, 16, 768**2, False),
        GENERALIST: (8, 16, 768**2, False),
    }
    made = {name: recipe.of(name) for name in published}
    assert published == {
        name: (one.rank, one.lora_alpha, one.images.max_pixels, one.refit) for name, one in made.items()
    }
    assert {recipe.overlay(name)["cutoff_len"] for name in published} == {8192}
    assert {one.prompt.image_mark for one in made.values()} == {"Image-{number}: "}
    bare = {name for name, one in made.items() if one.prompt.template == "{question}"}
    assert set(published) - bare == {"multi_label_classification", "counting"}
    balance = made["classification"].balance
    assert balance is not None and (balance.by, balance.rows, balance.times) == ("answer", 250, 6)
    assert [(one.task, one.rows) for one in made["regression"].donors] == [("classification", 5000)]


def test_list_seu_has_its_published_epochs_and_order() -> None:
    recipe = read_recipe("list-seu-2026").recipe
    epochs = {"classification": 3 + 3, "detection": 5, "multi_label_classification": 8, "report_generation": 3,
              "counting": 8, "regression": 3 + 3}  # fmt: skip
    assert {name: recipe.of(name).epochs for name in epochs} == epochs
    assert {recipe.of(name).start_from for name in epochs} == {GENERALIST}
    assert (recipe.of(GENERALIST).epochs, recipe.of(GENERALIST).start_from) == (5, None)
    assert {name for name in epochs if recipe.of(name).balance} == {"classification", "regression"}


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_row_with_its_images_and_answer_fits_the_cutoff(name: str) -> None:
    for adapter in adapter_names():
        one = read_recipe(name).recipe.of(adapter)
        images = one.images.max_count if one.show == "all" else 1
        tiles = one.images.max_patches + 1 if one.images.crop_to_patches else 1
        assert images * (tiles * 256 + 2) + 256 + (one.answer_tokens or 720) <= settings(name, adapter)["cutoff_len"]
