from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import recipes
from benchmarks.recipes import (
    RARE_ROWS,
    RECIPES,
    Bench,
    draw_skewed,
    draw_truths,
    of_tasks,
    rare_answers,
    steps_from_fresh,
    thin_out,
)
from mevlip.checkpoints.routes import Mix
from mevlip.tasks import TaskType
from mevlip_training.demo.build import STEPS_OF_OTHERS
from mevlip_training.demo.inputs import write_inputs
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.recipes.reading import parse_recipe
from tests.conftest import DEMO, EXAMPLES

CHOICES = of_tasks(TaskType.CLASSIFICATION)


def answers(root: Path) -> dict[str, Counter[str]]:
    """Number of records by answer, for each data set of a tree."""
    files = {path.parent.name: json.loads(path.read_bytes()) for path in root.glob("*/*/*.json")}
    return {name: Counter(record["Answer"] for record in records) for name, records in files.items()}


def test_every_third_answer_is_rare_and_each_data_set_keeps_a_common_one() -> None:
    rare = {one.name: rare_answers(one) for one in CHOICES}
    assert rare["smear_types"] == {"B", "E", "H", "K"} and rare["breast_views"] == {"Specks"}
    assert all(0 < len(rare[one.name]) < len(one.options) for one in CHOICES)


def test_rare_answers_keep_their_first_records_and_all_others_stay_in_order() -> None:
    records = [{"Answer": answer, "place": place} for place, answer in enumerate("ABABBCBA")]
    kept = thin_out(records, frozenset("B"), 2)
    assert "".join(one["Answer"] for one in kept) == "ABABCA"
    assert [one["place"] for one in kept] == [0, 1, 2, 3, 5, 7]


def test_a_skewed_tree_is_the_same_each_time_and_has_few_rare_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [one for one in CHOICES if one.name in ("gut_folds", "jaw_panorama", "breast_views")]
    monkeypatch.setattr(recipes, "DATASETS", few)
    monkeypatch.setattr(recipes, "COMMON_ROWS", 20)
    for name in ("one", "other"):
        draw_skewed(tmp_path / name)
    found = answers(tmp_path / "one")
    assert found == answers(tmp_path / "other")
    for dataset in few:
        rare = rare_answers(dataset)
        for answer, number in found[dataset.name].items():
            assert number == RARE_ROWS if answer in rare else number > RARE_ROWS - 2
        assert rare < found[dataset.name].keys()


def test_the_truths_hold_each_question_once_by_whether_its_answer_is_rare(tmp_path: Path) -> None:
    write_inputs(tmp_path / "questions", 1, 12, CHOICES)
    draw_truths(tmp_path / "questions", tmp_path / "truth")
    rare, common = (answers(tmp_path / "truth" / name) for name in ("rare", "common"))
    for dataset in CHOICES:
        assert rare[dataset.name].keys() <= rare_answers(dataset)
        assert not common[dataset.name].keys() & rare_answers(dataset)
        assert (rare[dataset.name] + common[dataset.name]).total() == 12


def test_every_recipe_is_one() -> None:
    read = {name: parse_recipe(text.encode(), name) for name, text in RECIPES.items()}
    assert read["balanced"].of("classification").balance is not None and read["plain"].of("counting").balance is None
    assert read["second-stage"].of("counting").start_from == "generalist"
    assert read["shared-expert"].of("counting").compose == ("generalist",)
    assert read["mixed"].of("counting").mix == Mix() and read["mixed"].of("generalist").mix is None


def test_fresh_weights_get_the_steps_that_the_generalist_spent_on_the_task() -> None:
    steps = {task: steps_from_fresh(task) - STEPS_OF_OTHERS for task in {one.task for one in DATASETS}}
    assert sum(steps.values()) == pytest.approx(3000, abs=len(steps))
    assert steps[TaskType.COUNTING] == 321


def test_what_is_there_is_not_drawn_again_and_half_a_drawing_is_not_taken_for_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def breaks(folder: Path) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.draw("some/tree", breaks)
    made = bench.draw("some/tree", lambda folder: folder.mkdir())
    assert made.is_dir() and [path.name for path in made.parent.iterdir()] == ["tree"]
    assert bench.draw("some/tree", breaks) == made


def test_a_command_whose_result_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    bench, made = Bench(tmp_path), tmp_path / "made"
    bench.mevlip(made, "predict", tmp_path)
    made.touch()
    bench.mevlip(made, "predict", tmp_path)
    assert ran == [[sys.executable, "-m", "mevlip", "predict", str(tmp_path)]]


@pytest.mark.slow
def test_two_systems_are_compared_by_the_command(tmp_path: Path) -> None:
    records = [record for path in sorted(EXAMPLES.rglob("*withGT.json")) for record in json.loads(path.read_bytes())]
    files = {name: tmp_path / name / "predictions.json" for name in ("right", "none")}
    for name, path in files.items():
        path.parent.mkdir()
        path.write_text(json.dumps([{**one, "Answer": one["Answer"] if name == "right" else "?"} for one in records]))
    rows = list(Bench(tmp_path).compare("both", EXAMPLES, [files["none"], files["right"]]))
    assert sorted(row[1] for row in rows) == sorted(TaskType)
    [(pair, _, first, second, gain, _, verdict)] = [row for row in rows if row[1] == "classification"]
    assert (pair, first, second, verdict) == ("right over none", "0.000", "1.000", "win")
    assert gain == "+1.000 [+1.000, +1.000]"


def test_an_exchanged_adapter_replaces_that_of_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "DEMO", DEMO)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: None)
    own = tmp_path / "own" / "counting"
    own.mkdir(parents=True)
    (own / "adapter_model.safetensors").write_text("trained")
    Bench(tmp_path).assemble("changed", [own])
    parts = tmp_path / "adapters" / "changed"
    assert (parts / "counting/adapter_model.safetensors").read_text() == "trained"
    same = "detection/adapter_model.safetensors"
    assert (parts / same).read_bytes() == (DEMO / "adapters" / same).read_bytes()
