from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.answers.box_texts import is_wrapper
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.clean import is_wrapped
from mevlip.answers.question_spec import BoxSpace
from mevlip.core.text import one_line
from mevlip.flare.issues import IssueCode
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.targets import TargetError, write_target
from tests.conftest import FLARE_DATA, needs_flare_data

LETTERED = QuestionSpec("Which is it? A: This one, B: That one")
LISTED = QuestionSpec("Select all that apply, separated by a semicolon: Caries; Pulp, and others; Injury.")
OPEN = QuestionSpec("What is it?", (200, 100))


def parse(task: TaskType, text: str, spec: QuestionSpec) -> Any:
    return TASKS[task].answer.parse(text, spec)


sides = st.integers(1, 6000)
spaces: st.SearchStrategy[BoxSpace] = st.sampled_from(["norm1000", "pixel"])


@st.composite
def framed_boxes(draw: st.DrawFn) -> tuple[QuestionSpec, list[list[int]]]:
    """A form and true boxes in whole pixels within its image."""
    width, height = draw(sides), draw(sides)

    def ends(size: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True).map(sorted)

    box = st.tuples(ends(width), ends(height)).map(lambda xy: [xy[0][0], xy[1][0], xy[0][1], xy[1][1]])
    return QuestionSpec("Where?", (width, height), draw(spaces)), draw(st.lists(box, max_size=4, unique_by=tuple))


def assert_close(found: Any, true: list[list[int]], spec: QuestionSpec) -> None:
    assert spec.image_size
    assert len(found) == len(true)
    for box, original in zip(found, true, strict=True):
        for value, wanted, size in zip(box, original, spec.image_size * 2, strict=True):
            allowed = 0 if spec.box_space == "pixel" or size < 1000 else math.ceil(size / 1000)
            assert abs(value - wanted) <= allowed


@given(framed_boxes(), st.booleans())
def test_boxes_are_read_back_within_a_thousandth_and_exactly_in_small_images(
    case: tuple[QuestionSpec, list[list[int]]], as_text: bool
) -> None:
    spec, true = case
    text = write_target(TaskType.DETECTION, json.dumps(true) if as_text else true, spec)
    if spec.box_space == "norm1000":
        assert all(0 <= v <= 1000 for box in json.loads(text) for v in box)
        assert all(b[0] < b[2] and b[1] < b[3] for b in json.loads(text))
    assert_close(parse(TaskType.DETECTION, text, spec).boxes, true, spec)


@pytest.mark.parametrize(
    ("true", "target"),
    [((10, 11), (2, 3)), ((9, 11), (1, 3)), ((4999, 5000), (999, 1000)), ((0, 1), (0, 1)), ((12, 13), (2, 3))],
)
def test_a_thin_box_in_a_large_image_keeps_an_area(true: tuple[int, int], target: tuple[int, int]) -> None:
    spec = QuestionSpec("Where?", (5000, 5000), "norm1000")
    text = write_target(TaskType.DETECTION, [[true[0], true[0], true[1], true[1]]], spec)
    assert json.loads(text) == [[target[0], target[0], target[1], target[1]]]


@given(framed_boxes(), st.data())
def test_degenerate_boxes_among_others_change_nothing(case: tuple[QuestionSpec, list[list[int]]], data: Any) -> None:
    spec, true = case
    width, height = spec.image_size or (0, 0)
    flat = [[1, 1, 1, 1], [0, 5, 9, 5], [width, 0, width + 9, 9], [-9, 0, 0, 9], [0, height + 1, 9, height + 5]]
    odd = data.draw(st.lists(st.sampled_from(flat), min_size=1))
    place = data.draw(st.integers(0, len(true)))
    mixed = true[:place] + odd + true[place:]
    if true:
        assert write_target(TaskType.DETECTION, mixed, spec) == write_target(TaskType.DETECTION, true, spec)
        answers = {"1": mixed, "2": odd}, {"1": true}
        first, second = (write_target(TaskType.INSTANCE_DETECTION, answer, spec) for answer in answers)
        assert first == second
    for task, answer in ((TaskType.DETECTION, odd), (TaskType.INSTANCE_DETECTION, {"1": odd, "2": []})):
        with pytest.raises(TargetError) as caught:
            write_target(task, answer, spec)
        assert caught.value.code is IssueCode.ZERO_AREA


@given(
    framed_boxes(),
    st.lists(st.text(max_size=3).filter(lambda name: not is_wrapper(name)), min_size=4, max_size=4, unique=True),
)
def test_instances_are_read_back_under_their_identities(
    case: tuple[QuestionSpec, list[list[int]]], names: list[str]
) -> None:
    spec, true = case
    answer = {name: true[index:] for index, name in enumerate(names)}
    found = parse(TaskType.INSTANCE_DETECTION, write_target(TaskType.INSTANCE_DETECTION, answer, spec), spec)
    assert [identity for identity, _ in found.instances] == names
    for identity, boxes in found.instances:
        assert_close(boxes, answer[identity], spec)


@given(st.integers(0, 999_999), st.booleans())
def test_a_count_is_read_back_exactly(number: int, as_text: bool) -> None:
    text = write_target(TaskType.COUNTING, f" {number}.0 " if as_text else number, OPEN)
    assert text == str(number)
    assert parse(TaskType.COUNTING, text, OPEN).value == number


@given(st.floats(-999_999, 999_999), st.booleans())
def test_a_measurement_is_read_back_within_half_a_tenth(number: float, as_text: bool) -> None:
    text = write_target(TaskType.REGRESSION, repr(number) if as_text else number, OPEN)
    assert "e" not in text and text != "-0.0" and len(text.partition(".")[2]) == 1
    assert abs(parse(TaskType.REGRESSION, text, OPEN).value - number) <= 0.05 + 1e-9


@given(st.text(min_size=1))
@example("<|0|>")  # reads as a special token, which the predictor takes out of answers
def test_a_report_is_one_line_that_is_read_back_unchanged(text: str) -> None:
    try:
        target = write_target(TaskType.REPORT, text, OPEN)
    except TargetError:
        visible = any(char.isprintable() and not char.isspace() for char in text.replace("\ufffd", ""))
        assert not visible or is_wrapped(one_line(text))
        return
    assert "\n" not in target
    assert parse(TaskType.REPORT, target, OPEN).format() == target


@given(st.lists(st.sampled_from(LISTED.labels), min_size=1, unique=True), st.booleans())
def test_labels_are_read_back_in_the_questions_order(labels: list[str], as_list: bool) -> None:
    text = write_target(TaskType.MULTI_LABEL, labels if as_list else " ; ".join(labels), LISTED)
    ordered = sorted(labels, key=LISTED.labels.index)
    assert text == "; ".join(ordered)
    assert parse(TaskType.MULTI_LABEL, text, LISTED).labels == tuple(ordered)


@pytest.mark.parametrize(
    ("task", "answer", "spec", "target"),
    [
        (TaskType.CLASSIFICATION, " B\n", LETTERED, "B"),
        (TaskType.CLASSIFICATION, "That  one", LETTERED, "B"),
        (TaskType.CLASSIFICATION, "Luminal B", OPEN, "Luminal B"),
        (TaskType.DETECTION, "[10, 20, 110, 70]", OPEN, "[[10,20,110,70]]"),
        (TaskType.DETECTION, [10.4, 20.0, 110, 70], OPEN, "[[10,20,110,70]]"),
        (TaskType.DETECTION, "[[10, 20, 110, 70]]", replace(OPEN, box_space="norm1000"), "[[50,200,550,700]]"),
        (TaskType.DETECTION, [[-5, -5, 300, 300]], replace(OPEN, box_space="norm1000"), "[[0,0,1000,1000]]"),
        (TaskType.DETECTION, "[]", OPEN, "[]"),
        (TaskType.INSTANCE_DETECTION, '{"X": [1, 2, 3, 4], "1": []}', OPEN, '{"X":[[1,2,3,4]],"1":[]}'),
        (TaskType.COUNTING, "1664", OPEN, "1664"),
        (TaskType.REGRESSION, "20.1631313163075", OPEN, "20.2"),
        (TaskType.REGRESSION, "-0.01", OPEN, "0.0"),
        (TaskType.REGRESSION, 1e2, OPEN, "100.0"),
        (TaskType.REPORT, "No mass.\n\nNo  nodule.", OPEN, "No mass. No nodule."),
    ],
)  # fmt: skip
def test_targets(task: TaskType, answer: Any, spec: QuestionSpec, target: str) -> None:
    assert write_target(task, answer, spec) == target


@pytest.mark.parametrize(
    ("task", "answer", "spec", "code"),
    [
        *((task, "  ", OPEN, IssueCode.EMPTY_ANSWER) for task in TaskType),
        *((task, None, OPEN, IssueCode.EMPTY_ANSWER) for task in TaskType),
        (TaskType.CLASSIFICATION, "T", LETTERED, IssueCode.UNLISTED_OPTION),
        (TaskType.CLASSIFICATION, "A B", LETTERED, IssueCode.SEVERAL_LETTERS),
        (TaskType.CLASSIFICATION, "A, B", LETTERED, IssueCode.SEVERAL_LETTERS),
        (TaskType.CLASSIFICATION, ["A"], LETTERED, IssueCode.NOT_TEXT),
        (TaskType.CLASSIFICATION, "\ud800", OPEN, IssueCode.NOT_TEXT),
        (TaskType.MULTI_LABEL, "Caries; Fracture", LISTED, IssueCode.UNLISTED_LABEL),
        (TaskType.MULTI_LABEL, "Caries; Caries", LISTED, IssueCode.UNLISTED_LABEL),
        (TaskType.DETECTION, "168, 110", OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, "[[1, 2, 3]]", OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, '[["1", 2, 3, 4]]', OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, "[[1, 2, NaN, 4]]", OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, {"1": [[1, 2, 3, 4]]}, OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, 7, OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, "[" * 100_000, OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.INSTANCE_DETECTION, [[1, 2, 3, 4]], OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.INSTANCE_DETECTION, {"1": "here"}, OPEN, IssueCode.UNPARSABLE_BOXES),
        (TaskType.DETECTION, [[16, 11, 16, 11]], OPEN, IssueCode.ZERO_AREA),
        (TaskType.DETECTION, [[300, 10, 400, 20]], OPEN, IssueCode.ZERO_AREA),
        (TaskType.INSTANCE_DETECTION, {"1": [[5, 5, 4, 6]]}, OPEN, IssueCode.ZERO_AREA),
        (TaskType.DETECTION, [[1, 2, 3, 4]], QuestionSpec("Where?", None, "norm1000"), IssueCode.UNREADABLE_IMAGE),
        (TaskType.COUNTING, "many", OPEN, IssueCode.UNPARSABLE_COUNT),
        (TaskType.COUNTING, "1e999999999", OPEN, IssueCode.UNPARSABLE_COUNT),
        (TaskType.COUNTING, True, OPEN, IssueCode.UNPARSABLE_COUNT),
        (TaskType.COUNTING, "-3", OPEN, IssueCode.IMPOSSIBLE_COUNT),
        (TaskType.COUNTING, "3.5", OPEN, IssueCode.IMPOSSIBLE_COUNT),
        (TaskType.REGRESSION, "27.8%", OPEN, IssueCode.UNPARSABLE_MEASUREMENT),
        (TaskType.REGRESSION, float("nan"), OPEN, IssueCode.UNPARSABLE_MEASUREMENT),
        (TaskType.REGRESSION, 10**6, OPEN, IssueCode.UNPARSABLE_MEASUREMENT),
        (TaskType.REPORT, "\u200b", OPEN, IssueCode.NOT_TEXT),
    ],
)  # fmt: skip
def test_what_cannot_be_taught_is_refused_with_its_code(
    task: TaskType, answer: Any, spec: QuestionSpec, code: IssueCode
) -> None:
    with pytest.raises(TargetError) as caught:
        write_target(task, answer, spec)
    assert caught.value.code is code
    assert str(caught.value)


@needs_flare_data
def test_the_challenges_answers_can_be_written_and_read_back() -> None:
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    degenerate = 0
    for record in map(json.loads, lines):
        task = TaskType(record["TaskType"])
        spec = QuestionSpec(record["Question"], (2000, 2000), "norm1000")
        answer = parse(task, write_target(task, record["Answer"], spec), spec)
        if isinstance(answer, Boxes):
            true = json.loads(record["Answer"])
            with_area = [box for box in true if box[0] < box[2] and box[1] < box[3]]
            degenerate += len(with_area) < len(true)
            assert_close(answer.boxes, with_area, spec)
        else:
            assert not isinstance(answer, InstanceBoxes) and answer.format() == record["Answer"]
    assert degenerate == 17
