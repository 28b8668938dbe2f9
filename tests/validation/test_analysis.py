from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import isnan

import pytest

from mevlip.tasks import TaskType
from mevlip_validation import analysis
from mevlip_validation.analysis import Correctness, evaluate_questions
from mevlip_validation.score import score_datasets
from tests.validation.rows import make_explanation, make_row

CLS, COUNT, DET = TaskType.CLASSIFICATION, TaskType.COUNTING, TaskType.DETECTION


@pytest.mark.parametrize(
    ("task", "said", "truth", "points", "correctness"),
    [
        (CLS, "B", "B", 1, Correctness.RIGHT),
        (CLS, "The answer is B.", "B", 1, Correctness.RIGHT),
        (CLS, "A", "B", 0, Correctness.WRONG),
        (CLS, None, "B", 0, Correctness.MISSING),
        (TaskType.MULTI_LABEL, "Dental Caries", "Dental Caries; Pulp Diseases", 2 / 3, Correctness.PARTLY),
        (DET, "[[0, 0, 10, 10]]", "[[0, 0, 10, 10], [20, 20, 30, 30]]", 2 / 3, Correctness.PARTLY),
        (DET, "[[50, 50, 60, 60]]", "[[0, 0, 10, 10]]", 0, Correctness.WRONG),
        (COUNT, "96", "100", 0.96, Correctness.RIGHT),
        (COUNT, "80", "100", 0.8, Correctness.PARTLY),
        (COUNT, "30", "100", 0.3, Correctness.WRONG),
        (COUNT, "500", "100", 0, Correctness.WRONG),
        (COUNT, "0", "0", 1, Correctness.RIGHT),
        (COUNT, "nothing", "100", 0, Correctness.WRONG),
        (TaskType.REPORT, "All is well.", "All is well.", 1, Correctness.RIGHT),
        (DET, "[[0, 0, 10, 10]]", "nowhere", 0, Correctness.WRONG),
    ],
)
def test_each_question_has_its_own_result(
    task: TaskType, said: str | None, truth: str, points: float, correctness: Correctness
) -> None:
    [one] = evaluate_questions([make_row(task, said, truth)])
    assert one.points == pytest.approx(points) and one.correctness is correctness
    assert (one.error is not None) == (task is COUNT)


def test_the_worst_come_first_and_right_ones_not_at_all() -> None:
    results = evaluate_questions([make_row(COUNT, said, "100") for said in ("100", "90", "900", "300")])
    assert [one.row.prediction for one in analysis.worst(results)[COUNT]] == ["900", "300", "90"]


def test_slices_score_each_data_set_by_itself() -> None:
    rows = [make_row(CLS, "A", "A", "one"), make_row(CLS, "B", "B", "one"), make_row(CLS, "A", "B", "two")]
    found = analysis.slices(evaluate_questions(rows))
    assert [(one.dataset, one.questions, one.score) for one in found] == [("one", 2, 1), ("two", 1, 0)]
    assert found[0].correctness == Counter({Correctness.RIGHT: 2})


def test_confusions_read_what_is_meant() -> None:
    rows = [make_row(CLS, "B.", "B"), make_row(CLS, "A", "B"), make_row(CLS, "???", "B"), make_row(COUNT, "1", "2")]
    none = analysis.UNKNOWN
    assert analysis.confusions(evaluate_questions(rows)) == {
        "one": Counter({("B", "B"): 1, ("B", "A"): 1, ("B", none): 1})
    }


def test_routing_and_confidences_come_from_the_explanations() -> None:
    how = make_explanation("B", COUNT, "counting", probability=0.8, stage="tolerant")
    rows = [replace(make_row(CLS, "B", "B"), explanation=how), make_row(CLS, "A", "B")]
    results = evaluate_questions(rows)
    assert analysis.routings(results) == Counter({(CLS, "counting"): 1})
    assert [one.stage for one in results] == ["tolerant", "strict"]
    options, router = analysis.calibrations(results)
    assert (options.answers, options.error) == (1, pytest.approx(0.2))
    assert (router.answers, router.error) == (1, pytest.approx(0.9)), "sure of the wrong task"


def test_without_explanations_there_is_no_calibration() -> None:
    results = evaluate_questions([make_row(CLS, "B", "B")])
    assert analysis.calibrations(results) == [] and not analysis.routings(results)


def test_nothing_said_is_told_apart_from_nothing_there() -> None:
    rows = [make_row(COUNT, said, truth) for said, truth in (("0", "0"), ("0", "12"), ("3", "3"))]
    rows += [make_row(DET, "[]", "[[0, 0, 1, 1]]")]
    assert analysis.empties(evaluate_questions(rows)) == {DET: (1, 1, 0), COUNT: (3, 2, 1)}


def test_stages_are_counted_by_task() -> None:
    found = analysis.stages(
        evaluate_questions([make_row(CLS, "B", "B"), make_row(CLS, "It is B", "B"), make_row(CLS, "?", "B")])
    )
    assert found[CLS] == Counter(strict=1, tolerant=1, fallback=1)


INST = TaskType.INSTANCE_DETECTION
LEFT, RIGHT = [0, 0, 10, 10], [100, 0, 110, 10]


def instances(**boxes: list[list[int]]) -> str:
    return json.dumps({name.lstrip("_"): found for name, found in boxes.items()})


def test_chromosomes_are_confused_where_boxes_lie_on_each_other() -> None:
    truth = instances(_1=[LEFT], X=[RIGHT], _21=[[200, 0, 210, 10]])
    said = instances(_2=[[0, 0, 10, 9]], X=[RIGHT, [300, 0, 310, 10]], _22=[[204, 0, 214, 10]])
    found = analysis.identity_confusion(evaluate_questions([make_row(INST, said, truth), make_row(CLS, "A", "A")]))
    assert found is not None
    assert found.pairs == Counter({("1", "2"): 1, ("X", "X"): 1}) and found.right == 1
    assert found.missed == Counter({"21": 1}), "an IoU of 0.43 is too little"
    assert found.spurious == Counter({"X": 1, "22": 1})


def test_the_greatest_overlap_comes_first_whatever_the_identity() -> None:
    truth = instances(_1=[LEFT])
    said = instances(_1=[[0, 0, 10, 7]], _2=[LEFT])
    found = analysis.identity_confusion(evaluate_questions([make_row(INST, said, truth)]))
    assert found is not None
    assert found.pairs == Counter({("1", "2"): 1}) and found.spurious == Counter({"1": 1})


def test_unusual_names_of_chromosomes_are_read_and_others_are_other() -> None:
    truth = instances(chr07=[LEFT], y=[RIGHT])
    said = json.dumps({"Chromosome 7": [LEFT], "marker": [RIGHT]})
    found = analysis.identity_confusion(evaluate_questions([make_row(INST, said, truth)]))
    assert found is not None and found.pairs == Counter({("7", "7"): 1, ("Y", "other"): 1})
    assert analysis.identity_confusion(evaluate_questions([make_row(INST, None, truth)])).missed == Counter("7Y")  # type: ignore[union-attr]
    assert analysis.identity_confusion(evaluate_questions([make_row(CLS, "A", "A")])) is None


def test_slices_have_the_interval_that_the_score_of_the_data_set_has() -> None:
    rows = [make_row(CLS, "AB"[n % 2], "A", "one", f"{n}.png") for n in range(20)]
    [one] = analysis.slices(evaluate_questions(rows), 200, 7)
    [score] = score_datasets(rows, "macro", 200, 7)["one"]
    assert one.estimate == score.estimate and one.estimate.low < one.score == 0.5 < one.estimate.high
    [alone] = analysis.slices(evaluate_questions(rows[:1]))
    assert isnan(alone.estimate.low), "one image says nothing of others"


def test_two_systems_are_right_together_alone_or_not_at_all() -> None:
    pairs = [("A", "A"), ("A", "B"), ("B", "A"), ("B", "B"), ("A", None)]
    first, second = ([make_row(CLS, pair[side], "A") for pair in pairs] for side in (0, 1))
    counts = [make_row(COUNT, "96", "100")]
    found = analysis.flips(evaluate_questions([*first, *counts]), evaluate_questions([*second, *counts]))
    assert found == [analysis.Flips(CLS, 1, 2, 1, 1), analysis.Flips(COUNT, 1, 0, 0, 0)]
