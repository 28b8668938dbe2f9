from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings
from mevlip.tasks import TASKS, TaskType
from mevlip_validation import published
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import scorings
from mevlip_validation.reproduction import (
    COLUMNS,
    NAMES,
    PROTOCOL,
    SETS,
    AnsweredSet,
    Cell,
    Runs,
    SetName,
    figure5,
    read_set,
    run_checkpoint,
    same_measure,
    systems_of,
    table3,
)
from mevlip_validation.score import score
from tests.conftest import DEMO, EXAMPLES, FakeModel
from tests.validation.reproductions import judged, make_rows, make_run

CLS, REPORT, COUNT = TaskType.CLASSIFICATION, TaskType.REPORT, TaskType.COUNTING
INTERNVL = "InternVL3-8B"


def find(runs: Runs, task: TaskType, column: str, name: str) -> Cell:
    return next(one for one in table3(runs) if (one.task, one.column.name, one.set) == (task, column, name))


def test_every_column_and_measure_is_known() -> None:
    systems = {one.system for one in published.PUBLISHED["2025"]}
    assert {column.name for column in COLUMNS} == systems
    assert set(published.TABLE3_MEASURES) == set(TASKS)
    for task, name in published.TABLE3_MEASURES.items():
        measure = next(one for one in metrics_of(task).measures if one.name == name)
        assert PROTOCOL in {one.protocol for one in scorings(task, measure)}


def test_figure_5_prints_the_means_of_table_3() -> None:
    """The text's fine-tuned scores are those of the column without the classifier, up to rounding."""
    rows = [one for one in published.PUBLISHED["2025"] if one.system == INTERNVL]
    for task, (_, tuned) in published.FIGURE5.items():
        values = [value for row in rows if (value := row.value(task)) is not None]
        assert float(tuned) == pytest.approx(sum(values) / len(values), abs=0.005), task


def test_only_internvl_is_asked_with_classifier_and_as_base() -> None:
    routings = {name: [system.routing for system in systems_of(name)] for name in NAMES}
    assert routings[INTERNVL] == ["none", "generalist", "router"]
    assert {tuple(one) for name, one in routings.items() if name != INTERNVL} == {("generalist",)}


def test_what_was_not_run_shows_the_printed_score_only() -> None:
    runs = {INTERNVL: make_run(INTERNVL, {"public": {"": make_rows(CLS, 3, 1)}})}
    cells = {(one.column.name, one.set): one for one in table3(runs) if one.task is CLS}
    assert len(cells) == len(COLUMNS) * len(SETS)
    measured = {place for place, one in cells.items() if one.score}
    assert measured == {(INTERNVL, "public"), ("InternVL3-8B with classifier", "public")}
    assert {one.status for place, one in cells.items() if place not in measured} == {"not run"}
    assert cells["MedGemma-4B", "hidden"].printed == "0.68"


def test_each_column_has_its_own_systems_score() -> None:
    answers = {"base": make_rows(CLS, 0, 4), "generalist": make_rows(CLS, 2, 2), "TS by router": make_rows(CLS, 3, 1)}
    runs = {INTERNVL: make_run(INTERNVL, {"hidden": answers})}
    scores = [find(runs, CLS, column.name, "hidden").score for column in COLUMNS[2:]]
    assert [one.estimate.value for one in scores if one] == [0.5, 0.75]
    assert {one.scoring.protocol for one in scores if one} == {PROTOCOL}


def test_a_task_without_questions_is_named() -> None:
    cell = find({INTERNVL: make_run(INTERNVL, {"public": {"": make_rows(CLS, 1, 1)}})}, COUNT, INTERNVL, "public")
    assert (cell.status, cell.printed, cell.score, cell.instead) == ("no questions", "301.4", None, None)


def test_an_unjudged_report_has_another_measure_that_does_not_stand_beside_the_printed() -> None:
    rows = make_rows(REPORT, 2, 2, "clear lungs", "a mass")
    cell = find({INTERNVL: make_run(INTERNVL, {"public": {"": rows}})}, REPORT, INTERNVL, "public")
    assert (cell.status, cell.printed, cell.score) == ("not judged", "0.75", None)
    assert cell.instead is not None and cell.instead.measure.name == "ROUGE-L"
    judgment = judged(rows, 0.4)
    cell = find({INTERNVL: make_run(INTERNVL, {"public": {"": judgment}})}, REPORT, INTERNVL, "public")
    assert cell.status == "measured" and cell.instead is None
    assert cell.score is not None and (cell.score.measure.name, cell.score.estimate.value) == ("GREEN", 0.4)


def test_the_same_measure_under_another_protocol_is_not_the_papers() -> None:
    scores = [one for one in score(make_rows(CLS, 3, 1), resamples=5) if one.scoring.protocol != PROTOCOL]
    assert scores and same_measure(scores, CLS) is None


def test_figure_5_is_the_mean_of_the_sets() -> None:
    public = {"base": make_rows(CLS, 0, 4), "generalist": make_rows(CLS, 2, 2), "TS by router": make_rows(CLS, 4, 0)}
    hidden = {"base": make_rows(CLS, 1, 3), "generalist": make_rows(CLS, 4, 0), "TS by router": make_rows(CLS, 4, 0)}
    bars = {one.task: one for one in figure5({INTERNVL: make_run(INTERNVL, {"public": public, "hidden": hidden})})}
    assert bars[CLS].measured == (0.125, 0.75) and bars[CLS].sets == SETS
    assert bars[CLS].printed == ("0.0", "0.613")
    assert (bars[COUNT].status, bars[COUNT].measured, bars[COUNT].printed) == ("no questions", None, (None, "301.4"))
    assert {one.status for one in figure5({})} == {"not run"}


def test_another_measure_has_bars_of_its_own() -> None:
    run = make_run(INTERNVL, {"public": {"": make_rows(REPORT, 2, 2, "clear lungs", "a mass")}})
    paper, other = (one for one in figure5({INTERNVL: run}) if one.task is REPORT)
    assert (paper.measure, paper.status, paper.measured, paper.printed) == ("GREEN", "not judged", None, (None, "0.75"))
    assert (other.measure, other.is_papers, other.printed) == ("ROUGE-L", False, (None, None)) and other.measured


def test_the_limit_counts_for_each_task(tmp_path: Path) -> None:
    whole, part = read_set(EXAMPLES, tmp_path), read_set(EXAMPLES, tmp_path, 2)
    asked = Counter(str(one.record["TaskType"]) for one in part.truths)
    assert len(asked) == len(TASKS) and set(asked.values()) == {2}
    assert [question.position for question in part.folder.questions] == list(range(len(part.truths)))
    assert len(whole.truths) > len(part.truths) == len(part.folder.questions)


@pytest.mark.model
def test_one_model_answers_every_set(tmp_path: Path) -> None:
    model = FakeModel(lambda adapter, text: "A")
    predictor = Predictor.find(PredictorSettings(checkpoint=str(DEMO)), load_model=lambda *_: model)
    part = EXAMPLES / "Mammography"
    copied = Path(shutil.copytree(part, tmp_path / "hidden"))
    out = tmp_path / "out"
    sets: dict[SetName, AnsweredSet] = {"public": read_set(part, out, 2), "hidden": read_set(copied, out, 1)}
    run = run_checkpoint("Qwen2.5-VL-7B", predictor, sets, out, resamples=5, quiet=True)
    assert predictor.loads.models == 1
    assert set(model.switches) == {"generalist"}
    assert (run.manifest.kind, run.identity["checkpoint"]) == ("demo", predictor.checkpoint.digest)
    assert [run.sets[name].provenance.questions for name in SETS] == [2, 1]
    assert sorted(path.parts[-3:-1] for path in out.rglob("predictions.json")) == [
        ("hidden", "generalist"), ("public", "generalist"),
    ]  # fmt: skip
