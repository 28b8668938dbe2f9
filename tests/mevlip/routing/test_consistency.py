"""Tasks that a question's form excludes, and forms that leave the router its say."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.routing.consistency import decide_task
from mevlip.tasks import TaskType, parse_task_type
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import FLARE_DATA, needs_flare_data

CLS, MULTI, DET = TaskType.CLASSIFICATION, TaskType.MULTI_LABEL, TaskType.DETECTION
INST, COUNT, REG, REPORT = TaskType.INSTANCE_DETECTION, TaskType.COUNTING, TaskType.REGRESSION, TaskType.REPORT
ALL = (CLS, MULTI, DET, INST, COUNT, REG, REPORT)


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize(
    ("question", "decided"),
    [
        (
            "How would you class the upper jaw? A: Class I (both ends free), B: Class II (one end free), C: Edentulous",
            CLS,
        ),
        ("Which number of cells fits best? A. 10 B. 20 C. 30", CLS),
        ("Which coordinates fit the lesion? A) upper left B) lower right", CLS),
        ("Select all that apply. A: Ulcer, B: Hernia, C: Polyp", MULTI),
        ("What is wrong? Select all that apply, separated by semicolons: Caries; Gap; Crown", MULTI),
    ],
)
def test_options_are_chosen_from_whatever_the_router_says(task: TaskType, question: str, decided: TaskType) -> None:
    assert decide_task(task, question) is decided


@pytest.mark.parametrize("task", [CLS, MULTI, COUNT, REG, REPORT])
@pytest.mark.parametrize(
    ("question", "decided"),
    [
        ("Mark the lesion as [x_min, y_min, x_max, y_max].", DET),
        ("What are the bounding box coordinates of the head?", DET),
        ('Find the chromosomes. Format: {"1": [[x_min, y_min, x_max, y_max]], ...}', INST),
        ("Answer with a JSON object of chromosome numbers and lists of [x1, y1, x2, y2].", INST),
    ],
)
def test_a_pattern_of_corners_asks_for_boxes(task: TaskType, question: str, decided: TaskType) -> None:
    assert decide_task(task, question) is decided


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize(
    "question",
    [
        "How many cells are there?",
        "How many cells are in the bounding box?",
        "Describe what you see within the bounding box.",
        "Is there a lesion within [x_min, y_min, x_max, y_max] = [1, 2, 3, 4]?",
        "How many cells lie within [x_min, y_min, x_max, y_max] = [1, 2, 3, 4]?",
        "Write a report on the heart, the lungs, and the bones.",
        "Is this a standard plane?",
        "Which is it? Options: Mass, Calcification, Both.",
        "",
    ],
)
def test_where_the_form_leaves_a_doubt_the_router_has_its_say(task: TaskType, question: str) -> None:
    assert decide_task(task, question) is task


@pytest.mark.parametrize("task", [DET, INST])
def test_which_kind_of_boxes_is_left_to_the_router(task: TaskType) -> None:
    for question in ("Mark it as [x_min, y_min, x_max, y_max].", 'As {"lesions": [[x_min, y_min, x_max, y_max]]}.'):
        assert decide_task(task, question) is task


def test_a_further_task_is_not_corrected() -> None:
    assert decide_task(TaskType.register("ranking"), "Which first? A: Cat, B: Dog") == "ranking"


@given(st.sampled_from(ALL), st.text(max_size=80))
def test_a_decided_task_stays(task: TaskType, question: str) -> None:
    decided = decide_task(task, question)
    assert decide_task(decided, question) is decided


def test_the_demos_own_questions_keep_their_tasks() -> None:
    for dataset in DATASETS:
        for wording in dataset.wordings:
            for target in dataset.targets:
                assert decide_task(dataset.task, dataset.question(wording, target)) is dataset.task


@needs_flare_data
def test_no_declared_task_of_the_challenge_is_overridden_and_wrong_ones_with_letters_are_corrected() -> None:
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for file in sorted((FLARE_DATA / "flare_inputs").rglob("*_questions_*.json")):
        records += json.loads(file.read_text("utf-8"))
    asked = {(record["TaskType"], record["Question"]) for record in records}
    lettered: Counter[bool] = Counter()
    for spelling, question in asked:
        declared = parse_task_type(spelling)
        assert declared is not None
        assert decide_task(declared, question) is declared, "the right task stays"
        marks = QuestionSpec(question).options
        if marks and all(mark.isalpha() for mark in marks):
            lettered.update(decide_task(wrong, question) is declared for wrong in ALL)
    assert len(records) > 3000 and lettered[True] > 500 and not lettered[False]
