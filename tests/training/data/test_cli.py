from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from mevlip.checkpoints.routes import read_route
from mevlip_training.data.cli import data
from mevlip_training.recipes.reading import shipped_recipes
from tests.conftest import ROOT
from tests.training.data.conftest import boxes, row

Flare = Callable[..., Path]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(data, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_prepare_hands_every_option_on(flare: Flare, tmp_path: Path) -> None:
    options = [
        "--images",
        "first",
        "--box-space",
        "pixel",
        "--max-pixels",
        "4096",
        "--crop-to-patches",
        "--keep-flagged",
    ]
    names = ["--base-model", "b", "--base-revision", "r"]
    texts = ["--prompt-template", "Q: {question}", "--system", "Be brief."]
    output = run("prepare", flare(boxes("[1, 2, 3, 4]")), "--out", tmp_path / "out", *options, *names, *texts)
    assert "wrote 1 rows and 2 routes" in output
    route = read_route(tmp_path / "out" / "routes" / "detection")
    assert (route.box_space, route.base_model, route.base_revision) == ("pixel", "b", "r")
    assert (route.images.max_count, route.images.max_pixels, route.images.crop_to_patches) == (1, 4096, True)
    assert (route.prompt.template, route.prompt.system) == ("Q: {question}", "Be brief.")


def test_prepare_tells_what_is_left_out(flare: Flare, tmp_path: Path) -> None:
    output = run("prepare", flare(row(), row("T", image="imagesTr/2.png")), "--out", tmp_path / "out")
    assert "answer that is not an option" in output


def test_a_template_without_a_place_for_the_question_is_wrong_usage(flare: Flare, tmp_path: Path) -> None:
    arguments = ["prepare", str(flare(row())), "--out", str(tmp_path / "out"), "--prompt-template", "Hello"]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 2 and "--prompt-template" in result.output


def test_prepare_follows_a_recipe(flare: Flare, tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("adapters: {classification: {balance: {rows: 5}}}", "utf-8")
    run("prepare", flare(row("B")), "--out", tmp_path / "out", "--recipe", tmp_path / "ours.yaml")
    assert len((tmp_path / "out" / "classification.jsonl").read_text().splitlines()) == 5
    assert read_route(tmp_path / "out" / "routes" / "classification").adapter == "classification"


def test_a_dry_run_writes_nothing_and_needs_no_folder(flare: Flare, tmp_path: Path) -> None:
    options = ["--recipe", "list-seu-2026", "--dry-run", "--config-dir", ROOT / "llamafactory_configs"]
    root = flare(row("B"))
    before = sorted(tmp_path.rglob("*"))
    for out in ([], ["--out", tmp_path / "out"]):
        lines = run("prepare", root, *options, *out).splitlines()
        assert lines[-1].split() == [
            "classification", "1", "1", "0", "0", "-", "6", "256", "-", "2048", "-",
            "8", "16", "first", "802816", "generalist",
        ]  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def refused(*arguments: str | Path) -> str:
    result = CliRunner().invoke(data, list(map(str, arguments)))
    assert result.exit_code == 2
    return result.output


def test_what_a_recipe_says_cannot_be_said_twice(flare: Flare, tmp_path: Path) -> None:
    common = ["prepare", flare(row("B")), "--out", tmp_path / "out", "--recipe", "paper"]
    for option in (["--images", "all"], ["--max-pixels", "9"], ["--no-crop-to-patches"], ["--system", "x"]):
        assert f"{option[0].replace('no-', '')} and --recipe exclude each other" in refused(*common, *option)
    assert not (tmp_path / "out").exists()


def test_prepare_needs_a_folder_to_write(flare: Flare) -> None:
    assert "Name --out" in refused("prepare", flare(row("B")))


def test_help_names_every_shipped_recipe() -> None:
    text = " ".join(run("prepare", "--help").split())
    assert [name for name in shipped_recipes() if name not in text] == []


def test_audit_shows_counts_and_writes_every_finding(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("T"), row("T", image="imagesTr/2.png"), row())
    output = run("check", root, "--csv", tmp_path / "f.csv")
    assert "training/Xray/dental/dental_questions_train.json[0]" in output
    with (tmp_path / "f.csv").open(newline="") as file:
        assert [entry["index"] for entry in csv.DictReader(file)] == ["0", "1"]


def test_audit_says_when_nothing_is_wrong(flare: Flare) -> None:
    assert "1 questions, 0 issues" in run("check", flare(row()))


def test_split_shows_both_parts(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row(image=f"imagesTr/{n}.png") for n in range(10)))
    output = run("split", root, "--out", tmp_path / "out", "--share", "0.3", "--seed", "1")
    assert "wrote 7 + 3 rows" in output


def test_stats_counts_without_writing(flare: Flare) -> None:
    assert "1 questions" in run("stats", flare(row()))


def test_every_command_shows_an_example() -> None:
    for name in data.commands:
        assert f"Example: mevlip data {name} " in run(name, "--help")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, mevlip_training.data.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "PIL", "matplotlib", "transformers", "torch"} & set(loaded.split())
