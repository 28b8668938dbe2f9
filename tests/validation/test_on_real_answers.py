"""The scorer on the challenge's own answers: perfect against themselves, and each protocol moved as its rules say."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import pytest

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.disagreements import Cause, disagreements
from mevlip_validation.matching import Row, Truth, match
from mevlip_validation.score import score
from tests.conftest import FLARE_DATA, needs_flare_data

pytestmark = needs_flare_data


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [Truth(f"{r['dataset']}[{index}]", Path(r["dataset"]), r) for index, r in enumerate(records)]


def without_area(row: Row) -> bool:
    """Whether a true box has no area, so that it overlaps nothing, not even itself."""
    return row.task is TaskType.DETECTION and any(b[0] == b[2] or b[1] == b[3] for b in json.loads(row.target))


@pytest.fixture(scope="module")
def perfect(truths: list[Truth]) -> tuple[Row, ...]:
    """Every truth answered with itself, but for boxes without area, which no answer can find."""
    matched = match(truths, [truth.record for truth in truths])
    assert matched.is_complete and not matched.unscored
    return tuple(row for row in matched.rows if not without_area(row))


def main_scores(rows: list[Row] | tuple[Row, ...], task: TaskType) -> dict[str, float]:
    mine = [row for row in rows if row.task is task]
    found = score(mine, resamples=1)
    main = {one.scoring.protocol: one.estimate.value for one in found if one.measure == found[0].measure}
    main.pop("board2026", None)  # reads as flare25 does
    return main


def of_task(rows: tuple[Row, ...], task: TaskType) -> list[Row]:
    return [row for row in rows if row.task is task]


def test_protocols_disagree_about_true_answers_only_where_a_box_has_no_area(truths: list[Truth]) -> None:
    rows = match(truths, [truth.record for truth in truths]).rows
    found = disagreements(rows)
    assert {one.cause for one in found} == {Cause.TRUTH} and len(found) == 17
    assert [one.row for one in found] == [row for row in rows if without_area(row)]


def test_the_truth_against_itself_is_perfect_under_each_protocol(perfect: tuple[Row, ...]) -> None:
    present = {row.task for row in perfect}
    assert {TaskType.CLASSIFICATION, TaskType.DETECTION, TaskType.COUNTING} <= present
    for task in present:
        best = 1 if TASKS[task].direction == "higher" else 0
        assert set(main_scores(perfect, task).values()) == {best}, task


def test_boxes_without_area_are_found_by_nobody(truths: list[Truth]) -> None:
    rows = [row for row in match(truths, [truth.record for truth in truths]).rows if without_area(row)]
    assert len(rows) == 17
    assert all(value < 1 for name, value in main_scores(rows, TaskType.DETECTION).items() if name != "macro")


def test_the_constant_counter_errs_as_arithmetic_says(perfect: tuple[Row, ...]) -> None:
    mine = of_task(perfect, TaskType.COUNTING)
    by_dataset = defaultdict(list)
    for row in mine:
        by_dataset[row.dataset].append(int(row.target))
    errors = {name: [abs(v - round(median(some))) for v in some] for name, some in by_dataset.items()}
    constant = {
        one.scoring.protocol: one.others[CONSTANT] for one in score(mine, {CONSTANT: constant_rows(mine, mine)}, 1)[:3]
    }
    pooled = fmean(error for some in errors.values() for error in some)
    assert constant["flare25"] == constant["flare26"] == pytest.approx(pooled)
    assert constant["macro"] == pytest.approx(fmean(map(fmean, errors.values())))


def test_a_dropped_row_is_free_in_2025_and_wrong_elsewhere(perfect: tuple[Row, ...]) -> None:
    for task in (TaskType.CLASSIFICATION, TaskType.DETECTION, TaskType.COUNTING):
        rows = of_task(perfect, task)
        rows[0] = replace(rows[0], answers=())
        found = main_scores(rows, task)
        best = 1 if TASKS[task].direction == "higher" else 0
        assert found["flare25"] == best
        assert found["flare26"] != best and found["macro"] != best


def test_a_repeated_row_counts_by_its_last_answer_in_2025_only(perfect: tuple[Row, ...]) -> None:
    rows = of_task(perfect, TaskType.CLASSIFICATION)
    rows[0] = replace(rows[0], answers=(*rows[0].answers, "no such option"))
    found = main_scores(rows, TaskType.CLASSIFICATION)
    assert found["flare25"] < 1 and found["flare26"] == found["macro"] == 1


def test_a_full_stop_costs_all_but_those_who_read_what_is_meant(perfect: tuple[Row, ...]) -> None:
    rows = of_task(perfect, TaskType.CLASSIFICATION)
    stopped = [replace(row, answers=(f"{row.prediction}.",)) for row in rows]
    assert main_scores(stopped, TaskType.CLASSIFICATION) == {"flare25": 0, "flare26": 0, "macro": 1}
    numbers = [replace(row, answers=(f"{row.prediction}.",)) for row in of_task(perfect, TaskType.COUNTING)]
    assert main_scores(numbers, TaskType.COUNTING) == {"flare25": 0, "flare26": 0, "macro": 0}
    words = [replace(row, answers=(f"{row.prediction} cells",)) for row in of_task(perfect, TaskType.COUNTING)]
    assert main_scores(words, TaskType.COUNTING) == {"flare25": math.inf, "flare26": 0, "macro": 0}


def test_a_flat_box_costs_2025_only(perfect: tuple[Row, ...]) -> None:
    rows = [row for row in of_task(perfect, TaskType.DETECTION) if len(json.loads(row.target)) == 1]
    flat = [replace(row, answers=(json.dumps(json.loads(row.target)[0]),)) for row in rows]
    assert main_scores(flat, TaskType.DETECTION) == {"flare25": 0, "flare26": 1, "macro": 1}
    one = [flat[0], *rows[1:]]
    # The flat row holds four items that match nothing, beside the true box that is not found.
    expected = 2 * (len(rows) - 1) / ((len(rows) - 1 + 4) + len(rows))
    assert main_scores(one, TaskType.DETECTION)["flare25"] == pytest.approx(expected)
