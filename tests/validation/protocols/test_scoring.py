"""The three scoring protocols on single rows: what each makes of a known fault."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.tasks import TaskType
from mevlip_validation.analysis import evaluate_questions
from mevlip_validation.bootstrap import score_of
from mevlip_validation.box_matching import iou, match_by_overlap, match_by_target
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import scorings
from tests.validation.rows import make_row, scores_of, scoring_of


def scores(task: TaskType, *pairs: tuple[str | None, str], dataset: str = "one") -> dict[str, float]:
    """What each protocol makes of predictions and truths, by the task's first measure."""
    rows = [make_row(task, said, truth, dataset) for said, truth in pairs]
    return scores_of(task, rows)


CLS, MULTI, DET = TaskType.CLASSIFICATION, TaskType.MULTI_LABEL, TaskType.DETECTION
INST, COUNT = TaskType.INSTANCE_DETECTION, TaskType.COUNTING
BOX, HALF = "[[0, 0, 10, 10]]", "[[0, 0, 10, 5]]"


@pytest.mark.parametrize(
    ("task", "said", "truth", "flare25", "flare26"),
    [
        (CLS, "B.", "B", 0, 0),
        (CLS, "B: Yes", "B", 0, 0),
        (CLS, "B) Yes", "B", 0, 0),
        (CLS, "Luminal B", "Luminal b", 1, 1),
        (MULTI, "dental caries", "Dental Caries", 1, 1),
        (MULTI, "Dental Caries.", "Dental Caries", 0, 0),
        (DET, "[0, 0, 10, 10]", BOX, 0, 1),
        (DET, "[[0, 0, 10, 10], [20, 20, 30, 30]]", "[[0, 0, 10, 10], [20, 20, 30, 30]]", 1, 1),
        (DET, "[[0.0, 0.0, 10.0, 10.0]]", BOX, 1, 1),
        (DET, f"```json\n{BOX}\n```", BOX, 0, 1),
        (DET, HALF, BOX, 0, 1),
        (INST, f'{{"1": {HALF}}}', f'{{"1": {BOX}}}', 1, 1),
        (INST, f'{{"1": {BOX}, "2": [[1, 2', f'{{"1": {BOX}}}', 0, 1),
        (INST, BOX, f'{{"1": {BOX}}}', 0, 1),
        (COUNT, "12 cells", "10", math.inf, 2),
        (COUNT, "many", "10", math.inf, 10),
    ],
)
def test_every_known_disagreement(task: TaskType, said: str, truth: str, flare25: float, flare26: float) -> None:
    found = scores(task, (said, truth))
    assert found["flare25"] == pytest.approx(flare25, nan_ok=True)
    assert found["flare26"] == pytest.approx(flare26, nan_ok=True)


def test_a_missing_row_costs_nothing_in_2025_and_all_in_2026() -> None:
    assert scores(CLS, ("B", "B"), (None, "A"))["flare25"] == 1
    assert scores(CLS, ("B", "B"), (None, "A"))["flare26"] == 0.5
    assert scores(COUNT, ("7", "7"), (None, "10"))["flare26"] == 5


@pytest.mark.parametrize(
    ("task", "truth", "best"),
    [
        (CLS, "B", {1}),
        (MULTI, "Dental Caries; Pulp Diseases", {1}),
        (DET, BOX, {1}),
        (INST, f'{{"1": {BOX}}}', {1}),
        (COUNT, "10", {0}),
        (TaskType.REGRESSION, "12.5", {0}),
        (TaskType.REPORT, "All is well.", {1}),
    ],
)
def test_the_truth_against_itself_is_perfect(task: TaskType, truth: str, best: set[float]) -> None:
    assert set(scores(task, (truth, truth)).values()) == best


def test_of_several_answers_2025_takes_the_last_and_2026_the_first() -> None:
    row = replace(make_row(CLS, "B", "B"), answers=("B", "A"))
    assert scores_of(CLS, [row]) == {"flare25": 0, "flare26": 1, "macro": 1}


def test_the_last_of_three_answers_counts_in_2025() -> None:
    row = replace(make_row(CLS, "A", "B"), answers=("A", "C", "B"))
    assert scores_of(CLS, [row]) == {"flare25": 1, "flare26": 0, "macro": 0}
    labels = replace(make_row(MULTI, "", "Dental Caries"), answers=("Dental Caries", "x", "Pulp Diseases"))
    assert scores_of(MULTI, [labels]) == {"flare25": 0, "flare26": 1, "macro": 1}
    count = replace(make_row(COUNT, "many", "10"), answers=("many", "7 cells", "8"))
    assert scores_of(COUNT, [count])["flare25"] == 2


def test_a_missing_label_set_costs_nothing_in_2025_and_its_row_elsewhere() -> None:
    found = scores(MULTI, ("Dental Caries", "Dental Caries"), (None, "Pulp Diseases; Dental Caries"))
    assert found == {"flare25": 1, "flare26": 0.5, "macro": 0.5}
    assert math.isnan(scores(MULTI, (None, "Pulp Diseases"))["flare25"]), "nothing is left to score"


def test_an_empty_answer_beside_a_right_one() -> None:
    assert scores(CLS, ("B", "B"), ("", "A")) == {"flare25": 0.5, "flare26": 0.5, "macro": 0.5}
    assert scores(DET, (BOX, BOX), ("", BOX)) == {
        "flare25": 1,
        "flare26": pytest.approx(2 / 3),
        "macro": pytest.approx(2 / 3),
    }
    assert scores(COUNT, ("7", "7"), ("", "10")) == {"flare25": math.inf, "flare26": 5, "macro": 5}


def test_2026_pools_instances_with_detection() -> None:
    rows = [make_row(DET, BOX, BOX), make_row(INST, "{}", f'{{"1": {BOX}}}')]
    detection = scoring_of(DET, "flare26")
    assert score_of(detection.statistic([row for row in rows if row.task in detection.tasks]), 2) == pytest.approx(
        2 / 3
    )


def test_macro_means_over_data_sets_and_reads_what_is_meant() -> None:
    rows = [make_row(CLS, "B", "B", "one"), make_row(CLS, "B", "B", "one"), make_row(CLS, "A", "B", "two")]
    assert scores_of(CLS, rows)["macro"] == 0.5
    assert scores(CLS, ("Answer: B.", "B"))["macro"] == 1
    assert scores(CLS, ("nothing", "A"))["macro"] == 0, "a fallback that happens to be right is not an answer"


def test_a_label_with_a_comma_is_one_label_under_macro() -> None:
    said, truth = "Caries, and more", "Plain; Caries, and more"
    question = "All that apply, with semicolons: Plain; Caries, and more"
    row = replace(make_row(MULTI, said, truth), question=question)
    found = scores_of(MULTI, [row])
    assert found["macro"] == pytest.approx(2 / 3)
    assert found["flare26"] == 0, "alone it is cut at its comma"


def test_a_truth_that_cannot_be_read_agrees_with_nothing() -> None:
    assert scores(MULTI, ("nonsense", "Unlisted thing"))["macro"] == 0
    assert scores(MULTI, ("", "Unlisted thing"))["macro"] == 0
    assert math.isnan(scores(COUNT, ("0", "many"))["macro"]), "left out, since there is nothing to be near to"


def test_signatures_name_what_was_computed() -> None:
    every = []
    for task in TaskType:
        mine = [one.signature for measure in metrics_of(task).measures for one in scorings(task, measure)]
        assert len(set(mine)) == len(mine), "two measures of one task need two names"
        every += mine
    assert "flare25/f1@iou>0.5,greedy-by-truth,micro|2" in every
    assert "flare26/f1@iou>=0.5,identity-if-both,greedy-by-overlap,micro,with-instances|2" in every


def test_matching_rules_on_boxes_worked_by_hand() -> None:
    truth = [(0.0, 0.0, 10.0, 10.0), (0.0, 4.0, 10.0, 14.0)]
    middle = (0.0, 2.0, 10.0, 12.0)
    assert iou(truth[0], truth[0]) == 1
    assert iou(truth[0], middle) == pytest.approx(80 / 120)
    assert match_by_target(truth, [middle], 0.5) == 1, "a box is used once"
    assert match_by_target([middle], truth, 0.5) == 1
    assert match_by_overlap([("1", truth[0])], [("2", truth[0])], 0.5) == 0
    assert match_by_overlap([("1", truth[0])], [("", truth[0])], 0.5) == 1
    half = (0.0, 0.0, 10.0, 5.0)
    assert (match_by_target([truth[0]], [half], 0.5), match_by_overlap([("", truth[0])], [("", half)], 0.5)) == (0, 1)
    assert match_by_overlap([("", truth[0])], [("", half)], 0.5, strictly=True) == 0
    assert iou((1.0,), truth[0]) == 0


ANSWERS = {CLS: "B", MULTI: "Dental Caries", DET: BOX, INST: f'{{"1": {BOX}}}', COUNT: "10"}
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "1e999",
        "-1e999",
        "[[1e999, 0, 1, 1]]",
        "[[NaN, 0, 1, 1]]",
        '{"1": [[1e400, 0, 2, 2]]}',
        "[" * 3000,
        "9" * 500,
        "nan",
    ]
)


@given(st.sampled_from(list(ANSWERS)), TEXTS)
def test_no_answer_breaks_a_protocol_or_scores_outside_its_bounds(task: TaskType, said: str) -> None:
    rows = [make_row(task, said, ANSWERS[task]), make_row(task, ANSWERS[task], ANSWERS[task])]
    for measure in metrics_of(task).measures:
        for scoring in scorings(task, measure):
            value = score_of(scoring.statistic(rows), 2)
            assert value >= 0 and (task is COUNT or value <= 1), (scoring.signature, value)
    for one in evaluate_questions(rows):
        assert 0 <= one.points <= 1 and one.stage


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_report_breaks_a_measure_of_texts(said: str, truth: str) -> None:
    rows = [make_row(TaskType.REPORT, said, truth), make_row(TaskType.REPORT, None, truth)]
    for measure in metrics_of(TaskType.REPORT).measures[:4]:
        value = score_of(measure.statistic(rows), 2)
        assert 0 <= value <= (10 if measure.name == "CIDEr" else 1)
