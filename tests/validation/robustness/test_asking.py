from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.inference.completion import Generation, Request
from mevlip_validation.defaults import CLEAN
from mevlip_validation.perturbations.registry import find
from mevlip_validation.robustness.asking import Plan, ask_perturbed
from mevlip_validation.robustness.cells import NO_BOX_LEFT, Cell
from mevlip_validation.robustness.drops import measure_drops
from mevlip_validation.robustness.output import Benchmark
from tests.validation.robustness.stubs import (
    BOX,
    BOXES,
    LIT,
    SIZE,
    SeeingModel,
    ask,
    boxes_in_thousandths,
    evenly_lit,
    make_predictor,
    sample_of,
    see,
    with_box,
    write_folder,
    write_set,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "in")


def answers(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    return [
        (cell.system, cell.perturbation, str(cell.level), str(one.number), str(one.row.answer), str(one.row.truth))
        for cell in cells
        for one in cell.outcomes
    ]


class DyingModel(SeeingModel):
    """Ends the program at its n-th batch, as Ctrl-C does."""

    def __init__(self, batches: int) -> None:
        super().__init__(see)
        self.left = batches

    def generate(self, requests: Sequence[Request]) -> Generation:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().generate(requests)


def test_all_systems_are_asked_the_same_questions(root: Path) -> None:
    done = ask(root, "jpeg grid_pattern", systems=("base", "multi_task", "routed"))
    assert {(cell.perturbation, len(cell.outcomes)) for cell in done.cells} == {
        (CLEAN, 9), ("jpeg", 9), ("grid_pattern", 6),
    }  # fmt: skip
    clean = [cell for cell in done.cells if cell.perturbation == CLEAN]
    adapters = {cell.system: {one.adapter for one in cell.outcomes} for cell in clean}
    assert adapters["base"] == {"none"} and adapters["multi_task"] == {"generalist"}
    assert adapters["routed"] == {"classification", "counting", "detection"}


def test_an_interrupted_run_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    names, levels, out = "jpeg rotation under_exposure", (2, 4), tmp_path / "out"
    whole = ask(root, names, levels)
    with pytest.raises(KeyboardInterrupt):
        ask(root, names, levels, DyingModel(8), out)
    kept = len(list((out / "cells").glob("*.json")))
    assert 0 < kept < len(whole.cells)
    model = SeeingModel(see)
    resumed = ask(root, names, levels, model, out)
    assert sorted(answers(resumed.cells)) == sorted(answers(whole.cells))
    assert 0 < resumed.answers < whole.answers
    again = SeeingModel(see)
    assert ask(root, names, levels, again, out).answers == 0 and not again.batches


def test_cells_of_other_pictures_or_another_seed_are_not_used(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = ask(root, "jpeg", out=out)
    evenly_lit(77).save(root / "Xray/lit/imagesVal/0.png")
    assert ask(root, "jpeg", out=out).answers == first.answers


def test_a_damaged_cell_is_asked_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = ask(root, "jpeg", out=out)
    [path] = (out / "cells").glob("jpeg-*")
    path.write_text(path.read_text()[:-40])
    again = ask(root, "jpeg", out=out)
    assert again.answers == 9 and answers(again.cells) == answers(first.cells)


def test_a_run_that_has_no_more_time_leaves_whole_steps_out(root: Path) -> None:
    names, levels = "jpeg rotation under_exposure", (1, 3, 5)
    ticks = count(step=10)
    done = ask(root, names, levels, budget=60, clock=lambda: next(ticks))
    steps = Plan(tuple(map(find, names.split())), levels).steps(sample_of(root))
    assert done.left and {cell.perturbation for cell in done.cells} >= {CLEAN}
    assert len(done.cells) + len(done.left) == len(steps) == 10
    assert all(len(cell.outcomes) >= 6 for cell in done.cells), "no cell is partial"
    manifest = make_predictor(SeeingModel(see)).checkpoint.manifest
    notices = Benchmark(manifest, done, measure_drops(done.sample, done.cells, 20)).notices
    assert any(line.startswith(f"PARTIAL: no time was left for {len(done.left)} ") for line in notices)


def test_what_says_the_most_is_asked_first(root: Path) -> None:
    plan = Plan(tuple(map(find, ("jpeg", "gaussian_noise", "grid_pattern", "hair", "pixelation"))), (1, 2, 3, 4, 5))
    steps = [(step.name, step.level) for step in plan.steps(sample_of(root))]
    assert steps[:5] == [(CLEAN, 0), ("jpeg", 3), ("gaussian_noise", 3), ("grid_pattern", 3), ("pixelation", 3)]
    assert [level for _, level in steps[1::4]] == [3, 5, 1, 2, 4]
    assert "hair" not in dict(steps), "no picture is of the skin"


def test_boxes_are_scored_where_the_picture_has_them(root: Path) -> None:
    done = ask(root, "rotation scaling translation", (1, 5))
    found = measure_drops(done.sample, done.cells, 20)
    moved = [one for cell in done.cells if cell.level for one in cell.outcomes if one.row.dataset == "teeth"]
    assert all(one.row.truth != json.dumps([BOX]) for one in moved)
    boxes = [one for one in found.cells if one.aspect.dataset in ("teeth", "lesions")]
    assert len(boxes) == 12
    assert all((one.clean, one.perturbed) == (1, 1) for one in boxes)


def test_boxes_that_stay_where_they_were_lose(root: Path) -> None:
    still = boxes_in_thousandths(BOX, SIZE)
    done = ask(root, "rotation scaling translation", (5,), SeeingModel(lambda text, _: still if BOXES in text else "A"))
    found = measure_drops(done.sample, done.cells, 20)
    teeth = {one.perturbation: one for one in found.cells if one.aspect.dataset == "teeth"}
    assert all(one.clean == 1 for one in teeth.values())
    assert teeth["translation"].drop.value > 0, "the box is a quarter of a picture away"


def test_a_box_that_leaves_the_picture_leaves_the_truth(tmp_path: Path) -> None:
    root = tmp_path / "in"
    corners = [(0, 0, 8, 6), (152, 0, 160, 6), (0, 114, 8, 120), (152, 114, 160, 120)]
    truth = json.dumps([corners[0], BOX])
    write_set(root, "Xray/some", BOXES, truth, [with_box()])
    for number, corner in enumerate(corners):
        write_set(root, f"Xray/corner{number}", BOXES, json.dumps([corner]), [with_box(corner)])
    done = ask(root, "translation", (5,))
    [cell] = (one for one in done.cells if one.perturbation == "translation")
    some = [one for one in cell.outcomes if one.row.dataset == "some"]
    assert len(json.loads(some[0].row.truth)) <= 2 and not some[0].fault
    gone = [one for one in cell.outcomes if one.fault]
    assert gone and {one.fault for one in gone} == {NO_BOX_LEFT}
    found = measure_drops(done.sample, done.cells, 20)
    assert found.faults == {NO_BOX_LEFT: len(gone)}
    assert {one.aspect.dataset for one in found.cells}.isdisjoint(one.row.dataset for one in gone)


def test_one_bad_picture_loses_no_other_question(root: Path) -> None:
    (root / "Xray/lit/imagesVal/0.png").write_bytes(b"no picture")
    Image.new("RGB", (400, 5)).save(root / "Xray/lit/imagesVal/1.png")
    done = ask(root, "jpeg")
    by_name = {cell.perturbation: cell for cell in done.cells}
    assert [len(by_name[name].rows) for name in (CLEAN, "jpeg")] == [8, 7]
    faults = " ".join(one.fault for one in by_name["jpeg"].outcomes)
    assert "not a readable image" in faults and "400 x 5 pixels" in faults
    found = measure_drops(done.sample, done.cells, 20)
    assert sum(found.faults.values()) == 3
    assert {one.questions for one in found.cells if one.aspect.dataset == "lit"} == {1}


def test_a_cell_in_which_the_model_broke_is_not_kept(root: Path, tmp_path: Path) -> None:
    def break_on_boxes(text: str, pixels: np.ndarray[Any, Any]) -> str:
        if BOXES in text:
            raise ValueError("broken")
        return see(text, pixels)

    out = tmp_path / "out"
    broken = ask(root, "under_exposure", model=SeeingModel(break_on_boxes), out=out)
    assert [len(cell.rows) for cell in broken.cells] == [5, 3] and not list((out / "cells").glob("*"))
    assert "the model failed (ValueError: broken)" in {one.fault for cell in broken.cells for one in cell.outcomes}
    assert [len(cell.rows) for cell in ask(root, "under_exposure", out=out).cells] == [9, 6]


def test_another_route_than_with_the_clean_picture_is_a_fault_of_the_program(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ask(root, "jpeg", out=out)
    [path] = (out / "cells").glob("jpeg-*")
    path.write_text(path.read_text().replace('"adapter": "detection"', '"adapter": "counting"'))
    with pytest.raises(RuntimeError, match="took adapter 'counting' for detection under jpeg"):
        ask(root, "jpeg", out=out)


def test_levels_of_equal_similarity_are_searched_once_for_all_systems(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write_set(root, "Xray/lit", LIT, "A", [evenly_lit(seed) for seed in range(2)])
    plan = Plan((find("gaussian_noise"),), (1, 5), ("base", "routed"))
    done = ask_perturbed(make_predictor(SeeingModel(see)), sample_of(root), plan, out)
    assert len(json.loads((out / "calibrations.json").read_text())) == 2
    severities = {cell.level: {one.severity for one in cell.outcomes} for cell in done.cells if cell.system == "base"}
    assert severities[0] == {None}
    assert all(one and one.reached and 0.9 <= one.ssim <= 0.98 for one in severities[1])
    assert all(one and one.reached and 0.5 <= one.ssim <= 0.59 for one in severities[5])
