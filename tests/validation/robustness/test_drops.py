from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from mevlip.tasks import TaskType
from mevlip_validation.defaults import CLEAN
from mevlip_validation.perturbations.registry import perturbations
from mevlip_validation.robustness.cells import Cell
from mevlip_validation.robustness.drops import BASE, MEDICAL, Aspect, Drops, contrast, measure_drops
from mevlip_validation.robustness.output import Benchmark, apart_table, as_json, csv_rows, render
from tests.validation.robustness.stubs import (
    COUNT,
    LIT,
    SeeingModel,
    ask,
    evenly_lit,
    make_predictor,
    see,
    write_folder,
    write_set,
)

ALL = " ".join(perturbations())
CLASSES = Aspect(TaskType.CLASSIFICATION)
COUNTS = Aspect(TaskType.COUNTING)


def with_answers(cell: Cell, right: float, wrong: str) -> Cell:
    """The cell with its first answers right and the others wrong."""
    number = round(right * len(cell.outcomes))
    said = [one.row.truth if place < number else wrong for place, one in enumerate(cell.outcomes)]
    outcomes = [
        replace(one, row=replace(one.row, answers=(text,))) for one, text in zip(cell.outcomes, said, strict=True)
    ]
    return replace(cell, outcomes=tuple(outcomes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("drops") / "in")


def test_the_truth_loses_nothing_anywhere(folder: Path) -> None:
    done = ask(folder, ALL, (1, 5))
    found = measure_drops(done.sample, [with_answers(cell, 1, "") for cell in done.cells], 20)
    assert len({one.perturbation for one in found.cells}) == 12 + 5 + 2 + 3
    assert {one.drop.value for one in found.cells} == {0.0}
    assert {(one.drop.low, one.drop.high) for one in found.cells if one.images > 1} == {(0.0, 0.0)}


def test_answers_by_brightness_are_lost_under_what_changes_brightness_only(folder: Path) -> None:
    names = "gaussian_noise salt_and_pepper_noise speckle_noise gaussian_blur motion_blur brightness contrast jpeg "
    done = ask(folder, names + "pixelation under_exposure over_exposure", (5,))
    drops = measure_drops(done.sample, done.cells, 20)
    lost = {one.perturbation for one in drops.choose("routed", CLASSES) if one.drop.value}
    assert lost == {"brightness", "under_exposure", "over_exposure"}
    assert [drops.mean("routed", CLASSES, perturbation=name).drop.value for name in lost] == [1, 1, 1]


def made(
    tmp_path: Path, names: str, shares: dict[tuple[str, int], float], question: str = LIT, wrong: str = "B"
) -> Drops:
    """Drops of twenty questions, of which a share is right in each cell; all with clean pictures."""
    truth = "A" if question == LIT else "7"
    write_set(tmp_path / "in", "Xray/set", question, truth, [evenly_lit(seed) for seed in range(20)])
    done = ask(tmp_path / "in", names, sorted({level for _, level in shares}))
    cells = [with_answers(cell, shares.get((cell.perturbation, cell.level), 1), wrong) for cell in done.cells]
    return measure_drops(done.sample, cells, 200)


def test_the_mean_drop_of_a_group_and_level_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    shares = {
        ("jpeg", 1): 0.9, ("pixelation", 1): 0.7, ("grid_pattern", 1): 0.5, ("scatter", 1): 0.4,
        ("jpeg", 2): 0.8, ("pixelation", 2): 0.3, ("grid_pattern", 2): 0.2, ("scatter", 2): 0.1,
    }  # fmt: skip
    drops = made(tmp_path, "jpeg pixelation grid_pattern scatter", shares)
    by_hand = {(BASE, 1): (0.1, 0.3), (MEDICAL, 1): (0.5, 0.6), (BASE, 2): (0.2, 0.7), (MEDICAL, 2): (0.8, 0.9)}
    for (group, level), lost in by_hand.items():
        mean = drops.mean("routed", CLASSES, group=group, level=level)
        assert mean.drop.value == pytest.approx(fmean(lost)) and mean.number == 2
        assert mean.drop.low < mean.drop.value < mean.drop.high
    worst = drops.mean("routed", CLASSES).worst
    assert worst and (worst.perturbation, worst.level, worst.relative) == ("scatter", 2, pytest.approx(0.9))
    groups = [drops.mean("routed", CLASSES, group=group) for group in (BASE, MEDICAL)]
    assert contrast(*groups).value == pytest.approx(0.7 - 0.325)
    assert [one.name for one, _ in drops.ranking("routed")] == ["scatter", "grid_pattern", "pixelation", "jpeg"]


def test_a_greater_error_is_a_positive_drop(tmp_path: Path) -> None:
    drops = made(tmp_path, "jpeg scaling", {("jpeg", 3): 0.5, ("scaling", 3): 1.0}, COUNT, wrong="17")
    [jpeg] = drops.choose("routed", COUNTS, perturbation="jpeg")
    assert (jpeg.clean, jpeg.perturbed, jpeg.drop.value) == (0, 5, 5)
    assert drops.mean("routed", COUNTS, perturbation="scaling").drop.value == 0


def test_the_interval_is_of_the_same_images_in_both_cells(tmp_path: Path) -> None:
    drops = made(tmp_path, "jpeg", {("jpeg", 3): 0.0})
    [lost] = drops.choose("routed", CLASSES)
    assert (lost.drop.low, lost.drop.value, lost.drop.high) == pytest.approx((1, 1, 1)), "lost on every image alike"


def test_answers_that_cannot_be_read_are_counted(folder: Path) -> None:
    def mumble(text: str, pixels: object) -> str:
        return see(text, pixels) if float(getattr(pixels, "mean")()) > 60 else "no idea"  # type: ignore[arg-type]  # noqa: B009

    done = ask(folder, "under_exposure", (5,), SeeingModel(mumble))
    [lost] = measure_drops(done.sample, done.cells, 20).choose("routed", CLASSES)
    assert lost.invalid == (0.0, 1.0)


def test_what_changes_the_evidence_itself_is_reported_apart(tmp_path: Path) -> None:
    write_set(tmp_path / "in", "Clinical/skin", LIT, "A", [evenly_lit(seed) for seed in range(3)])
    write_set(tmp_path / "in", "Xray/lit", LIT, "A", [evenly_lit(seed) for seed in range(3)])
    done = ask(tmp_path / "in", "brightness jpeg", (5,))
    drops = measure_drops(done.sample, done.cells, 20)
    skin = [one for one in drops.cells if one.aspect.dataset == "skin"]
    assert {(one.perturbation, bool(one.aspect.apart)) for one in skin} == {("brightness", True), ("jpeg", False)}
    assert {one.questions for one in drops.choose("routed", CLASSES, perturbation="brightness")} == {3}
    assert [row[0] for row in apart_table(drops)[1]] == ["brightness"]


def test_systems_of_several_runs_are_compared_on_the_same_resamples(folder: Path) -> None:
    one, other = ask(folder, "under_exposure", (3,)), ask(folder, "under_exposure", (3,), SeeingModel(lambda *_: "A"))
    cells = [replace(cell, system=name) for name, run in (("full", one), ("lora", other)) for cell in run.cells]
    drops = measure_drops(one.sample, cells, 50)
    assert drops.systems == ("full", "lora")
    assert contrast(drops.mean("lora", CLASSES), drops.mean("full", CLASSES)).value == 1
    rows = {cell.system: cell.rows for cell in cells if cell.perturbation != CLEAN}
    assert [row.place for row in rows["full"]] == [row.place for row in rows["lora"]]


def test_a_system_without_clean_answers_is_refused(folder: Path) -> None:
    done = ask(folder, "jpeg")
    with pytest.raises(ValueError, match="no answers about clean pictures of routed"):
        measure_drops(done.sample, [cell for cell in done.cells if cell.perturbation != CLEAN])


def test_tables_and_files_name_every_figure(folder: Path) -> None:
    done = ask(folder, "jpeg under_exposure", (2, 5), systems=("base", "routed"))
    what = Benchmark(
        make_predictor(SeeingModel(see)).checkpoint.manifest, done, measure_drops(done.sample, done.cells, 20)
    )
    shown = render(what)
    assert "perturbations reach fewer than" not in shown
    assert "routed over base" in shown and "under_exposure L5 +1.000" in shown and "DEMO" in shown
    content = as_json(what)
    assert {(one["perturbations"], one["level"]) for one in content["means"]} >= {("base", 2), ("medical", None)}
    assert len(list(csv_rows(what.drops))) == len(content["cells"]) == len(what.drops.cells)
    [rank, _] = content["ranking"]["routed"]
    assert rank["perturbation"] == "under_exposure" and rank["worst"]["level"] == 5
