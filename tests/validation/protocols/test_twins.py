"""Each rule of the two public evaluators that is easily taken for another, with the value that it gives."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mevlip.tasks import TaskType
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Truth, match
from mevlip_validation.protocols import protocols
from tests.conftest import record
from tests.validation.rows import make_row, scoring_of

CLS, MULTI, DET = TaskType.CLASSIFICATION, TaskType.MULTI_LABEL, TaskType.DETECTION
INST, COUNT, MEASURE = TaskType.INSTANCE_DETECTION, TaskType.COUNTING, TaskType.REGRESSION
BOX, TWO = "[[0, 0, 10, 10]]", "[[0, 0, 10, 10], [20, 20, 30, 30]]"
ONE_OF_X = '{"X": [[0, 0, 10, 10]]}'


def scored(protocol: str, task: TaskType, *pairs: tuple[Any, Any]) -> float:
    """The score of predictions of truths by a task's first measure."""
    rows = [make_row(task, said, truth) for said, truth in pairs]
    return score_of(scoring_of(task, protocol).statistic(rows), len(rows))


def of_files(protocol: str, task: TaskType, truths: list[dict[str, Any]], answers: list[dict[str, Any]]) -> float:
    """The score of a file, matched as the command matches it."""
    matched = match([Truth(f"f[{n}]", Path(f"{n}"), one) for n, one in enumerate(truths)], answers)
    scoring = scoring_of(task, protocol)
    rows = [row for row in matched.rows if row.task in scoring.tasks]
    return score_of(scoring.statistic(rows), len(rows))


RIGHT = (BOX, BOX)


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("nothing of use", 1.0),
        (f"```json\n{BOX}\n```", 1.0),
        ("{}", 2 / 4),
        ("None", 2 / 4),
        ("5", 2 / 4),
        ('{"bbox": [0, 0, 10, 10]}', 2 / 4),
        ("((0, 0, 10, 10), (20, 20, 30, 30))", 2 / 4),
        ("(0, 0, 10, 10), (20, 20, 30, 30)", 2 / 4),
        ("[(0, 0, 10, 10), (20, 20, 30, 30)]", 1.0),
        ("[]", 2 / 4),
        ("[[0, 0, 10, 10], 'x']", 4 / 6),
        ("[0, 0, 10, 10]", 2 / 8),
        (TWO, 1.0),
    ],
)
def test_2025_what_can_be_read_but_is_not_a_list_of_boxes_misses_them_all(said: str, score: float) -> None:
    """Beside a right answer of one box: an unreadable answer to two boxes is free, a readable one costs both."""
    assert scored("flare25", DET, RIGHT, (said, TWO)) == pytest.approx(score)


@pytest.mark.parametrize("said", [{"a": 1}, 5, True, [[0, 0, 10, 10], [20, 20, 30, 30]], [[1, 2]], [None]])
def test_2025_takes_json_values_as_they_are(said: Any) -> None:
    expected = 1.0 if said == json.loads(TWO) else 2 / 5 if isinstance(said, list) else 2 / 4
    assert scored("flare25", DET, RIGHT, (said, TWO)) == pytest.approx(expected)


def test_2025_a_null_answer_counts_its_misses() -> None:
    truth = [record("Where?", "a.png", TaskType="Detection", Answer=TWO)]
    assert of_files("flare25", DET, truth, [{**truth[0], "Answer": None}]) == 0
    truth = [record("Where?", "a.png", TaskType="instance_detection", Answer=ONE_OF_X)]
    assert of_files("flare25", INST, truth, [{**truth[0], "Answer": None}]) == 0


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("no JSON", 1.0),
        ("null", 2 / 3),
        ("[]", 2 / 3),
        ("5", 2 / 3),
        ("{}", 2 / 3),
        ('{"X": null}', 1.0),
        ('{"X": "ab"}', 2 / 5),
        ('{"x": [[0, 0, 10, 10]]}', 2 / 4),
        ('{"X": [0, 0, 10, 10]}', 2 / 7),
    ],
)
def test_2025_instances(said: str, score: float) -> None:
    assert scored("flare25", INST, (ONE_OF_X, ONE_OF_X), (said, ONE_OF_X)) == pytest.approx(score)


def test_2025_an_empty_identity_is_one_like_others() -> None:
    truth = '{"": [[0, 0, 10, 10]], "1": [[20, 20, 30, 30]]}'
    assert scored("flare25", INST, ('{"1": [[0, 0, 10, 10]], "": [[20, 20, 30, 30]]}', truth)) == 0
    assert scored("flare26", INST, ('{"1": [[0, 0, 10, 10]], "": [[20, 20, 30, 30]]}', truth)) == 1


@pytest.mark.parametrize("task", [DET, INST, MULTI])
def test_2025_nothing_readable_scores_zero(task: TaskType) -> None:
    truth = {DET: BOX, INST: ONE_OF_X, MULTI: "a"}[task]
    said = ["a"] if task is MULTI else "nothing of use"
    assert scored("flare25", task, (said, truth)) == 0


def test_2025_a_list_of_labels_is_not_read_and_costs_nothing() -> None:
    assert scored("flare25", MULTI, ("a; b", "a; b"), (["a"], "c")) == 1
    assert scored("flare25", MULTI, ("a; b", "a; b"), ('["a"]', "c")) == pytest.approx(4 / 6), "a text that looks so is"


@pytest.mark.parametrize(("said", "score"), [(5, 1), (" 5\n", 1), (True, 5), ("1_0", 4)])
def test_2025_reads_numbers_as_python_does(said: Any, score: float) -> None:
    assert scored("flare25", COUNT, (said, "6")) == score


@pytest.mark.parametrize("said", ["5 cells", "", [5], "nan", "inf", None, "9" * 400 + "e9", "1,000"])
def test_2025_one_answer_that_is_no_number_makes_the_error_infinite(said: Any) -> None:
    truth = [record("How many?", name, TaskType="counting", Answer="5") for name in ("a.png", "b.png")]
    answers = [{**truth[0], "Answer": "5"}, {**truth[1], "Answer": said}]
    assert of_files("flare25", COUNT, truth, answers) == math.inf


def test_2025_of_a_repeated_truth_the_last_counts_with_the_last_answer() -> None:
    """Also across data sets, since neither folder nor task belongs to what is compared."""
    truths = [record("Which?", "a.png", Answer=letter) for letter in ("A", "B")]
    answers = [{**truths[0], "Answer": letter} for letter in ("A", "B", "B")]
    assert of_files("flare25", CLS, truths, answers[:2]) == 1
    assert of_files("flare25", CLS, truths, answers[::2]) == 1
    assert of_files("flare25", CLS, truths, answers[:1]) == 0, "the one answer belongs to the last truth"
    assert of_files("flare25", CLS, truths, [answers[1], answers[0]]) == 0
    assert of_files("flare26", CLS, truths, answers[:2]) == 1
    assert of_files("flare26", CLS, truths, answers[:1]) == 0.5, "there each row has its own"
    other = [truths[0], {**truths[1], "TaskType": "counting", "Answer": "7"}]
    assert math.isnan(of_files("flare25", CLS, other, answers[:2])), "the last truth is of another task"


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("1e3", 1),
        ("+7", 7),
        ("1,234 cells", 1234),
        ("[87, 3]", 0),
        ("[87]", 87),
        ('{"count": 12}', 12),
        ('{"number": "4 cells"}', 4),
        ('{"cells": 12}', 12),
        ("{}", 0),
        ("many", 0),
        (True, 0),
        ([87], 87),
        (8.5, 8.5),
    ],
)
def test_2026_numbers(said: Any, value: float) -> None:
    assert scored("flare26", COUNT, (said, "0")) == value


@pytest.mark.parametrize(
    ("said", "f1"),
    [
        ('["a", "B "]', 1),
        ('{"labels": ["a", "b"]}', 1),
        ('{"labels": "a; b"}', 1),
        ('{"a": true, "b": 1, "c": false}', 1),
        (["A", "b"], 1),
        ("a|b", 1),
        ("a\nb", 1),
        ("\na, b", 1),
        ("a; b, c", 2 / 4),
        ("[]", 0),
        ("none; a; b", 1),
        ("[a, b", 2 / 4),
    ],
)
def test_2026_label_lists_are_read_as_json(said: Any, f1: float) -> None:
    assert scored("flare26", MULTI, (said, "A; b")) == pytest.approx(f1)


def test_2026_no_label_agrees_with_no_label() -> None:
    assert [scored("flare26", MULTI, (said, "None")) for said in ("[]", "no  finding", "{}", "a")] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("said", "f1"),
    [
        (BOX, 1),
        ('{"x1": 0, "y1": 0, "x2": 10, "y2": 10}', 1),
        ('{"x": 0, "y": 0, "width": "10", "height": 10}', 1),
        ('[{"label": "lesion", "bbox": [0, 0, 10, 10]}]', 1),
        ('{"detections": [[0, 0, 10, 10]]}', 1),
        ("The box is [0, 0, 1e1, 10.0].", 1),
        (f"```json\n{BOX}\n```", 1),
        ("[0, 0, 10, 10] and [1, 2, 3]", 0),
        ("[0, 0, 10, 10] and [1-2, 2, 3, 4]", 0),
        ("[[0, 0, 10, 10], [1, 2, 3]]", 0),
        ("[[0, 0, 10, 10], 5]", 0),
        ("[[0, 0, 10, 10], null]", 1),
        ('[[0, 0, 10, 10], "none"]', 1),
        ("[0 0 10 10]", 0),
        ("0, 0, 10, 10", 0),
    ],
)
def test_2026_boxes(said: str, f1: float) -> None:
    assert scored("flare26", DET, (said, BOX)) == f1


def test_2026_fences_cost_the_identities_of_instances() -> None:
    """They are not stripped, so that the boxes are found as text: without identities any may be matched."""
    other = '{"Y": [[0, 0, 10, 10]]}'
    assert scored("flare26", INST, (other, ONE_OF_X)) == 0
    assert scored("flare26", INST, (f"```json\n{other}\n```", ONE_OF_X)) == 1


def test_2026_identities_are_compared_in_lower_case() -> None:
    assert scored("flare26", INST, ('{" x ": [[0, 0, 10, 10]]}', ONE_OF_X)) == 1
    assert scored("flare26", INST, ('{"boxes": [{"class": "X", "box": [0, 0, 10, 10]}]}', ONE_OF_X)) == 1


def test_2026_nothing_found_where_nothing_is_to_find_is_right() -> None:
    assert scored("flare26", DET, ("none", "[]")) == 1
    assert scored("flare25", DET, ("[]", "[]")) == 0


def test_2026_a_truth_that_cannot_be_read_is_left_out() -> None:
    assert scored("flare26", DET, (BOX, BOX), (BOX, "unclear")) == 1
    assert scored("flare26", COUNT, ("5", "4"), ("5", "unclear")) == 1


def test_2026_of_equal_overlaps_the_last_boxes_are_matched_first() -> None:
    truth, said = "[[14, 0, 24, 9], [10, 0, 20, 9]]", "[[8, 0, 18, 9], [12, 0, 22, 9]]"
    assert scored("flare26", DET, (said, truth)) == 0.5, "the last two take each other; the first two do not meet"
    assert scored("macro", DET, (said, truth)) == 1


def test_2026_a_predicted_nan_makes_the_error_infinite() -> None:
    assert scored("flare26", COUNT, ("5", "5"), (math.nan, "5")) == math.inf


@pytest.mark.parametrize(("said", "equal"), [("luminal  B ", True), (3.0, False), ("[]", False)])
def test_2026_choices(said: Any, equal: bool) -> None:
    assert scored("flare26", CLS, (said, "Luminal b")) == equal


def test_a_whole_number_without_a_fraction_is_written_so_in_2026() -> None:
    assert scored("flare26", CLS, (3.0, "3")) == 1
    assert scored("flare25", CLS, (3.0, "3")) == 0


def test_the_board_of_2026_reads_four_tasks_as_2025() -> None:
    board = next(one for one in protocols() if one.name == "board2026")
    assert set(board.scorers) == {CLS, MULTI, DET, MEASURE}
    assert "not public" in board.note
    for task, said, truth in [
        (CLS, "b", "B"),
        (MULTI, "a, b", "a; b"),
        (DET, "[0, 0, 1, 1]", BOX),
        (MEASURE, "7", "9"),
    ]:
        assert scored("board2026", task, (said, truth)) == scored("flare25", task, (said, truth))
    assert scoring_of(DET, "board2026").tasks == {DET}, "without chromosomes"
