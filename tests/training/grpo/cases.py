"""Questions of all seven tasks, as the challenge words them, with answers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.tasks import TaskType

SIZE = (640, 480)
LABELS = ("Dental Caries", "Pulp Diseases", "Treatment, Restorative Treatment, and Complications", "Injury")


class Case(NamedTuple):
    """A question with its true Answer."""

    task: TaskType
    spec: QuestionSpec
    truth: str


LETTERED = Case(
    TaskType.CLASSIFICATION,
    QuestionSpec("What is shown? A: Normal, B: Glaucoma, C: Diabetic retinopathy, D: Other"),
    "B",
)
LABELED = Case(
    TaskType.MULTI_LABEL,
    QuestionSpec(f"Select all that apply, separated by a semicolon: {'; '.join(LABELS)}."),
    f"{LABELS[0]}; {LABELS[2]}",
)
BOXES = Case(
    TaskType.DETECTION,
    QuestionSpec("Return the bounding boxes [x_min, y_min, x_max, y_max] of lesions, nested.", SIZE, "norm1000"),
    "[[28, 107, 98, 157], [198, 126, 298, 221]]",
)
INSTANCES = Case(
    TaskType.INSTANCE_DETECTION,
    QuestionSpec('Locate each as {"1": [[x_min, y_min, x_max, y_max]], ...}.', SIZE, "norm1000"),
    '{"1": [[10, 20, 60, 80], [100, 20, 160, 90]], "2": [[10, 120, 70, 190]], "X": [[300, 300, 340, 380]]}',
)
COUNTED = Case(TaskType.COUNTING, QuestionSpec("How many cells are in this field?"), "115")
MEASURED = Case(TaskType.REGRESSION, QuestionSpec("Compute the ABR% of this radiograph"), "32.0610687022901")
REPORTED = Case(
    TaskType.REPORT,
    QuestionSpec("Write a short report of the lungs."),
    "No focal consolidation. No large pleural effusion. No pneumothorax.",
)
CASES = (LETTERED, LABELED, BOXES, INSTANCES, COUNTED, MEASURED, REPORTED)


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int] = SIZE) -> list[int]:
    """A box in whole pixels."""

    def ends(most: int) -> list[int]:
        return sorted(draw(st.lists(st.integers(0, most), min_size=2, max_size=2, unique=True)))

    (left, right), (top, bottom) = ends(size[0]), ends(size[1])
    return [left, top, right, bottom]


_box_lists = st.lists(boxes(), max_size=4, unique_by=tuple)
_ANSWERS: dict[TaskType, st.SearchStrategy[Any]] = {
    TaskType.CLASSIFICATION: st.sampled_from("ABCD"),
    TaskType.MULTI_LABEL: st.lists(st.sampled_from(LABELS), min_size=1, unique=True).map("; ".join),
    TaskType.DETECTION: _box_lists.map(json.dumps),
    TaskType.INSTANCE_DETECTION: st.dictionaries(st.sampled_from(["1", "2", "13", "X", "Y"]), _box_lists).map(
        json.dumps
    ),
    TaskType.COUNTING: st.integers(0, 5000).map(str),
    TaskType.REGRESSION: st.floats(0, 3000).map(lambda value: f"{value:.4f}"),
    TaskType.REPORT: st.lists(
        st.sampled_from(["no", "acute", "effusion", "heart", "lungs", "are", "clear", "."]), min_size=1, max_size=40
    ).map(" ".join),
}
"""True Answers by task, as data sets have them."""
_SEPARATORS = ("", " ", "\n", ". ", ", ", "; ", " because ", "```", "<answer>", " or ")


@st.composite
def truths(draw: st.DrawFn) -> Case:
    """A case with any true Answer."""
    case = draw(st.sampled_from(CASES))
    return case._replace(truth=draw(_ANSWERS[case.task]))


@st.composite
def completions(draw: st.DrawFn, case: Case) -> str:
    """What a model may say: an answer of the task, one in other words, broken, or with others, or anything."""
    answer = _ANSWERS[case.task]
    parts = st.one_of(answer, st.text(max_size=20), st.sampled_from(["I cannot say", "The answer is", "{", "[[1,"]))
    said = draw(st.sampled_from(_SEPARATORS)).join(draw(st.lists(parts, min_size=1, max_size=4)))
    return said[draw(st.integers(0, 3)) :]
