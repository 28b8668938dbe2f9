from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError
from mevlip_training.data.planning import HEADER, plan
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.recipes.reading import read_recipe, shipped_recipes
from tests.conftest import DEMO, ROOT

CONFIGS = ROOT / "llamafactory_configs"
EACH = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's training data, a few rows of each data set."""
    folder = tmp_path_factory.mktemp("demo")
    write_training(folder / "training", 7, {one.name: EACH for one in DATASETS})
    return folder


def lines(root: Path, recipe: str, tokenizer: Path | None = None) -> dict[str, dict[str, Any]]:
    """The table by adapter and column."""
    made = plan(root, Choices(tokenizer=tokenizer), read_recipe(recipe), CONFIGS, quiet=True)
    return {str(line[0]): dict(zip(HEADER, line, strict=True)) for line in made}


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_dry_run_shows_the_rows_that_would_be_written(name: str, root: Path, tmp_path: Path) -> None:
    shown = lines(root, name)
    prepare(root, tmp_path / "out", Choices(), quiet=True, recipe=read_recipe(name))
    written = {path.stem: len(path.read_text("utf-8").splitlines()) for path in (tmp_path / "out").glob("*.jsonl")}
    assert {adapter: line["balanced"] + line["donors"] for adapter, line in shown.items()} == written
    assert all(line["rows"] <= line["balanced"] for line in shown.values())


def test_a_dry_run_shows_what_training_would_make_of_the_recipe(root: Path) -> None:
    hexapus = lines(root, "hexapus-2026", DEMO / "base")
    line = hexapus["classification"]
    assert (line["rank"], line["alpha"], line["pixels"], line["start"]) == (32, 64, "4194304 tiled", "fresh")
    assert line["balanced"] == 6 * line["rows"]  # no group of the demo is large enough for 250
    assert line["steps"] == 3 * -(-line["balanced"] // 8)
    assert line["answer tokens"] % 8 == 0 and line["longest row"] > 16
    assert hexapus["generalist"]["pixels"] == 768 * 768
    seu = lines(root, "list-seu-2026")
    assert {name: one["start"] for name, one in seu.items() if one["start"] != "generalist"} == {"generalist": "fresh"}
    assert (seu["counting"]["images"], seu["counting"]["answer tokens"], seu["counting"]["steps"]) == ("first", 256, 8)
    assert seu["counting"]["longest row"] == "-"


def test_texts_are_measured_with_the_adapters_own_prompt(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text('adapters: {counting: {prompt: {system: "one two", template: "three {question}"}}}', "utf-8")
    plain, wordy = lines(root, "paper", DEMO / "base"), lines(root, str(file), DEMO / "base")
    assert wordy["counting"]["longest row"] > plain["counting"]["longest row"]
    assert wordy["detection"] == plain["detection"]


def test_a_missing_config_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"generalist\.yaml cannot be read"):
        plan(root, Choices(), None, tmp_path, quiet=True)


@pytest.mark.model
@pytest.mark.parametrize("name", shipped_recipes())
def test_in_the_real_vocabulary_every_row_fits_the_cutoff_with_all_its_tiles(
    name: str, root: Path, thin_checkpoint: Path
) -> None:
    for line in lines(root, name, thin_checkpoint / "base").values():
        assert 256 < line["longest row"] <= line["cutoff"] and line["beyond"] == 0
