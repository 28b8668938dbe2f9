from __future__ import annotations

import re

from mevlip.checkpoints.routes import Mix, PromptSettings, Thinking
from mevlip_training.recipes.reading import parse_recipe, shipped_recipes
from mevlip_training.recipes.recipe import AdapterRecipe, Balance, Donor, LeaveOut, PerturbedCopies
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")


def test_the_pages_example_is_a_recipe() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    recipe = parse_recipe(example.encode(), "docs/training.md")
    assert recipe.overlay("counting") == {"adapter_name_or_path": "generalist", "lora_rank": 16, "lora_alpha": 32}


def test_the_page_names_every_field_and_every_shipped_recipe() -> None:
    section = PAGE.split("### Recipes")[1].split("\n## ")[0]
    fields = [
        name
        for model in (AdapterRecipe, Balance, Donor, LeaveOut, Mix, PerturbedCopies, PromptSettings, Thinking)
        for name in model.model_fields
    ]
    assert [name for name in [*fields, *shipped_recipes()] if not re.search(rf"\b{name}\b", section)] == []
