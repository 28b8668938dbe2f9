"""What a recipe does to rows and routes, and that training is given what it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mevlip.checkpoints.routes import ImageSettings, Mix, Thinking, read_route
from mevlip.core.errors import InputError
from mevlip.tasks import GENERALIST, TaskType, adapter_names
from mevlip_training.cli import train
from mevlip_training.data.prepare import Choices, Prepared, prepare
from mevlip_training.demo.inputs import write_inputs
from mevlip_training.recipes.overlays import overlay_path
from mevlip_training.recipes.reading import read_recipe, shipped_recipes
from mevlip_training.runs import disagreements, plan_run, read_yaml
from tests.conftest import DEMO, ROOT
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]
CONFIGS = ROOT / "llamafactory_configs"


def rows_of(out: Path, adapter: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{adapter}.jsonl").read_text("utf-8").splitlines()]


def prepared(root: Path, out: Path, text: str, **choices: Any) -> Prepared:
    file = out.with_name(f"{out.name}.yaml")
    file.write_text(text, "utf-8")
    return prepare(root, out, Choices(**choices), quiet=True, recipe=read_recipe(str(file)))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digits(rows: list[dict[str, Any]]) -> list[int]:
    return [int(Path(one["images"][0]).stem) for one in rows]


@pytest.mark.parametrize("tokenizer", [None, DEMO / "base"])
def test_the_papers_recipe_gives_what_no_recipe_gives(tmp_path: Path, tokenizer: Path | None) -> None:
    write_inputs(tmp_path / "flare")
    choices = Choices(tokenizer=tokenizer)
    prepare(tmp_path / "flare", tmp_path / "without", choices, quiet=True)
    prepare(tmp_path / "flare", tmp_path / "paper", choices, quiet=True, recipe=read_recipe("paper"))
    without, paper = contents(tmp_path / "without"), contents(tmp_path / "paper")
    record = json.loads(paper.pop("prepared.json"))
    assert record.pop("recipe") == {"name": "paper", "sha256": read_recipe("paper").sha256}
    assert record == json.loads(without.pop("prepared.json"))
    assert paper == without


def test_route_and_rows_have_the_prompt_the_pixels_and_the_budget_of_their_adapter(
    flare: Flare, tmp_path: Path
) -> None:
    root = flare(row("A", image=["imagesTr/1.png", "imagesTr/2.png"]), boxes("[1, 2, 3, 4]"))
    text = """
default: {answer_tokens: 40, compose: [generalist]}
adapters:
  classification:
    prompt: {system: Be brief., template: "Look. {question}", thinking: {tokens: 200}}
    images: {max_pixels: 4096, crop_to_patches: true}
    show: explode
    answer_tokens: 9
  detection: {box_space: pixel, compose: []}
"""
    prepared(root, tmp_path / "out", text)
    routes = {name: read_route(tmp_path / "out/routes" / name) for name in ("classification", "detection", GENERALIST)}
    one = routes["classification"]
    assert one.images == ImageSettings(max_count=1, max_pixels=4096, crop_to_patches=True)
    assert (one.prompt.system, one.prompt.template) == ("Be brief.", "Look. {question}")
    assert one.prompt.thinking == Thinking(tokens=200) and routes["detection"].prompt.thinking is None
    assert "thinking" not in (tmp_path / "out/routes/detection/route.json").read_text()
    assert one.max_new_tokens == {TaskType.CLASSIFICATION: 9}
    first, second = rows_of(tmp_path / "out", "classification")
    assert digits([first, second]) == [1, 2]
    assert first["system"] == "Be brief."
    assert first["conversations"][0]["value"].startswith(f"{Thinking().preset}\n<image>\nLook. ")
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert {name: "system" in entry["columns"] for name, entry in info.items()} == {
        GENERALIST: False, "classification": True, "detection": False,
    }  # fmt: skip
    assert [routes[name].compose for name in ("classification", "detection", GENERALIST)] == [(GENERALIST,), (), ()]
    assert routes[GENERALIST].images == ImageSettings()
    assert set(routes[GENERALIST].max_new_tokens.values()) == {40}
    both, _ = rows_of(tmp_path / "out", GENERALIST)
    assert len(both["images"]) == 2 and "system" not in both
    assert routes["detection"].box_space == "pixel" and routes[GENERALIST].box_space == "norm1000"
    [detection] = rows_of(tmp_path / "out", "detection")
    assert detection["conversations"][1]["value"] == "[[1,2,3,4]]"


def test_a_recipe_mixes_all_but_the_adapter_that_they_are_mixed_with(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A"), boxes("[1, 2, 3, 4]"), measure("3"))
    text = """
default: {mix: {gamma: 2}}
adapters:
  detection: {mix: {least: 0.25}}
  regression: {mix: null}
"""
    prepared(root, tmp_path / "out", text)
    names = ("classification", "detection", "regression", GENERALIST)
    assert [read_route(tmp_path / "out/routes" / name).mix for name in names] == [
        Mix(gamma=2), Mix(gamma=2, least=0.25), None, None,
    ]  # fmt: skip


def test_small_groups_of_data_set_and_answer_are_raised_for_the_adapter_that_asks(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row("A", image=f"imagesTr/{n}.png") for n in range(1, 9)), row("B", image="imagesTr/9.png"))
    flare(row("B", image="imagesTr/11.png"), place="Xray/other")
    made = prepared(root, tmp_path / "out", "adapters: {classification: {balance: {rows: 4, times: 3}}}")
    rows = rows_of(tmp_path / "out", "classification")
    assert Counter(digits(rows)) == {**dict.fromkeys(range(1, 9), 1), 9: 3, 11: 3}
    assert len(rows_of(tmp_path / "out", GENERALIST)) == 10
    assert made.rows.total() == 10  # as found
    assert all(one in rows_of(tmp_path / "out", GENERALIST) for one in rows)


def test_modalities_can_be_given_equal_exposure(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row("A", image=f"imagesTr/{n}.png") for n in range(1, 6)))
    flare(row("B", image="imagesTr/7.png"), row("A", image="imagesTr/8.png"), place="Dermatology/moles")
    prepared(root, tmp_path / "out", "default: {balance: {by: modality, rows: largest, times: null}}")
    for name in (GENERALIST, "classification"):
        assert Counter(digits(rows_of(tmp_path / "out", name))) == {**dict.fromkeys(range(1, 6), 1), 7: 3, 8: 2}


def test_donors_rows_come_after_an_adapters_own_in_its_own_prompt(
    flare: Flare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = flare(
        *(row("A", image=f"imagesTr/{n}.png") for n in range(1, 8)),
        measure("5", "imagesTr/8.png"), measure("6", "imagesTr/9.png"),
    )  # fmt: skip
    flare(row("B", image="imagesTr/11.png"), place="Xray/other")
    text = """
adapters:
  regression:
    prompt: {template: "Measure. {question}"}
    donors:
    - {task: classification, datasets: [dental], rows: 3}
    - {task: classification, share: 0.25}
    - {task: detection, rows: 5}
"""
    prepared(root, tmp_path / "out", text)
    rows = rows_of(tmp_path / "out", "regression")
    assert digits(rows) == [8, 9, 1, 4, 7, 1, 11]
    assert {one["conversations"][0]["value"].split("\n")[1][:9] for one in rows} == {"Measure. "}
    assert "regression: donor detection has only 0 rows to give" in caplog.text
    assert set(read_route(tmp_path / "out/routes/regression").max_new_tokens) == {TaskType.REGRESSION}


def test_a_task_without_rows_of_its_own_is_not_trained_on_donors_alone(flare: Flare, tmp_path: Path) -> None:
    prepared(flare(row("A")), tmp_path / "out", "adapters: {counting: {donors: [{task: classification, rows: 1}]}}")
    assert not (tmp_path / "out/counting.jsonl").exists()


def test_rows_can_be_left_out_of_one_adapter_or_of_all(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A"), measure("5", "imagesTr/2.png"))
    flare(row("B", image="imagesTr/3.png"), place="Endoscopy/gut")
    text = """
default: {leave_out: {modalities: [Endoscopy]}}
adapters: {generalist: {leave_out: {tasks: [regression]}}}
"""
    prepared(root, tmp_path / "out", text)
    made = {name: digits(rows_of(tmp_path / "out", name)) for name in (GENERALIST, "classification", "regression")}
    assert made == {GENERALIST: [1], "classification": [1], "regression": [2]}


def test_a_name_that_no_row_has_is_warned_of_once(
    flare: Flare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "default: {leave_out: {modalities: [Endoscpy, Dermatology], tasks: [counting], datasets: [gut]}}"
    root = flare(row("A"))
    flare(row("A", image="imagesTr/2.png"), place="Dermatology/moles")
    prepared(root, tmp_path / "out", text)
    assert [one.getMessage() for one in caplog.records if "leave_out" in one.getMessage()] == [
        f"the recipe's leave_out names {what}, which no row has"
        for what in ("the dataset gut", "the modality Endoscpy", "the task counting")
    ]


def test_a_recipe_that_leaves_everything_out_says_so(flare: Flare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the recipe leaves all of them out"):
        prepared(flare(row("A")), tmp_path / "out", "default: {leave_out: {tasks: [classification]}}")
    assert not (tmp_path / "out").exists()


def test_a_refit_adds_answered_validation_rows_to_the_adapters_that_ask(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A"), measure("5", "imagesTr/2.png"))
    flare(row("B", image="imagesVal/3.png"), row("", image="imagesVal/4.png"), split="validation-public", suffix="val")
    flare(row("B", image="imagesTs/5.png"), split="testing", suffix="test")
    made = prepared(root, tmp_path / "out", "adapters: {classification: {refit: true}}")
    assert digits(rows_of(tmp_path / "out", "classification")) == [1, 3]
    assert digits(rows_of(tmp_path / "out", GENERALIST)) == [1, 2]
    assert made.left_out == {"empty answer": 1}


def test_an_adapter_cannot_start_from_one_without_rows(flare: Flare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'classification' starts from 'counting', which has no rows"):
        prepared(flare(row("A")), tmp_path / "out", "adapters: {classification: {start_from: counting}}")


@pytest.mark.parametrize("name", shipped_recipes())
def test_what_a_shipped_recipe_writes_for_training_agrees_with_its_routes(name: str, tmp_path: Path) -> None:
    write_inputs(tmp_path / "flare")
    recipe = read_recipe(name)
    prepare(tmp_path / "flare", tmp_path / "out", Choices(), quiet=True, recipe=recipe)
    for adapter in adapter_names():
        run = plan_run(adapter, CONFIGS, tmp_path / "out", tmp_path / "runs", {}, None)
        assert disagreements(run.settings, run.route) == []
        path = overlay_path(tmp_path / "out", adapter)
        assert (read_yaml(path) if path.is_file() else {}) == recipe.recipe.overlay(adapter)


@pytest.mark.slow
def test_llamafactory_is_given_the_overlay_that_was_written_second_stages_last(
    flare: Flare, tmp_path: Path, fake_cli: Path
) -> None:
    text = """
quantization: {double: false}
default: {rank: 32, images: {max_pixels: 4096}}
adapters:
  classification: {start_from: detection, epochs: 5}
"""
    prepared(flare(row("A"), boxes("[1, 2, 3, 4]")), tmp_path / "out", text)
    options = ["--config-dir", str(CONFIGS), "--out", str(tmp_path / "runs"), "--quiet"]
    tasks = ["--task", "classification", "--task", "detection"]
    done = CliRunner().invoke(train, ["adapters", str(tmp_path / "out"), *tasks, *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["detection", "classification"]
    start = (tmp_path / "runs/detection").resolve()
    for name in ("classification", "detection"):
        given = yaml.safe_load((tmp_path / "runs" / name / "config.yaml").read_text("utf-8"))
        written = yaml.safe_load(overlay_path(tmp_path / "out", name).read_text("utf-8"))
        if name == "classification":
            assert written.pop("adapter_name_or_path") == "detection"
            assert given.pop("adapter_name_or_path") == str(start)
        paths = {key: given[key] for key in ("dataset_dir", "output_dir")}
        assert given == {**read_yaml(CONFIGS / f"{name}.yaml"), **written, **paths}
    digest = read_recipe(str(tmp_path / "out.yaml")).sha256
    card = (tmp_path / "runs/adapters/classification/README.md").read_text("utf-8")
    assert f"- Recipe: `out`, sha256 of the file `{digest}`" in card
    assert "- Started from: adapter `detection`, sha256 of its weights `" in card
    assert "Started from" not in (tmp_path / "runs/adapters/detection/README.md").read_text("utf-8")
    assert str(tmp_path) not in card
