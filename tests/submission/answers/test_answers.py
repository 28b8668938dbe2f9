"""Properties that every answer type has, and the grammar of each."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submission.answers import ANSWER_CLASSES, Answer, Form, fallback_answer, read_answer
from submission.answers.base import Unparsable
from submission.answers.boxes import Box, Boxes, InstanceBoxes
from submission.answers.choice import Choice
from submission.answers.labels import LabelSet
from submission.answers.numbers import Count, Measurement
from submission.answers.report import Report
from submission.flare.predictions import schema_validator
from submission.tasks import TASKS, TaskType
from training.demo.wordings import DATASETS

LETTERED = Form("Which is it? A: Cat, B: Dog, C: Bird", (200, 100))
TEXTUAL = Form("Which is it? Options: Mass, Specks, Both.", (200, 100))
SEVERAL = Form("Choose all, divided by a semicolon: Decay; Gap; Filling, crown, and repair.", (200, 100))

QUESTIONS = [dataset.question(dataset.wordings[0], dataset.targets[0]) for dataset in DATASETS]
forms = st.builds(
    Form,
    st.sampled_from(QUESTIONS) | st.text(max_size=60),
    st.none() | st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.sampled_from(["norm1000", "pixel"]),
)
boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 3000),
    st.integers(0, 3000),
    st.integers(1, 900),
    st.integers(1, 900),
)
decimals = st.decimals(-999999, 999999, allow_nan=False, places=6).map(float)
visible = (
    st.text(min_size=1)
    .map(lambda text: " ".join(c for c in text.split() if c.isprintable() and c != "\ufffd"))
    .filter(str.strip)
)
pixel_form = Form("Where?", None, "pixel")

typed_answers: st.SearchStrategy[tuple[Answer, Form]] = st.one_of(
    st.sampled_from([(Choice(letter), LETTERED) for letter in "ABC"]),
    st.sampled_from([(Choice(text), TEXTUAL) for text in ("Mass", "Specks", "Both")]),
    st.permutations(SEVERAL.labels).flatmap(
        lambda order: st.integers(1, 3).map(lambda n: (LabelSet(tuple(order[:n]), "; "), SEVERAL))
    ),
    st.lists(boxes, max_size=5).map(lambda many: (Boxes(tuple(many)), pixel_form)),
    st.dictionaries(st.text(max_size=3), st.lists(boxes, max_size=3).map(tuple), max_size=4).map(
        lambda by_id: (InstanceBoxes(tuple(by_id.items())), pixel_form)
    ),
    st.integers(0, 999999).map(lambda n: (Count(n), pixel_form)),
    decimals.map(lambda x: (Measurement(x), pixel_form)),
    visible.map(lambda text: (Report(" ".join(text.split())), pixel_form)),
)


@given(typed_answers)
def test_formatting_and_parsing_are_inverse(pair: tuple[Answer, Form]) -> None:
    answer, form = pair
    assert type(answer).parse(answer.format(), form) == answer


@given(st.sampled_from(TaskType), st.text(), forms)
def test_any_text_gives_a_legal_line(task: TaskType, text: str, form: Form) -> None:
    outcome = read_answer(task, text, form)
    assert schema_validator().is_valid([{"Answer": outcome.text}])
    assert (outcome.stage == "fallback") == bool(outcome.reason)


@given(st.sampled_from(TaskType), forms)
def test_a_fallback_follows_the_grammar_of_its_task(task: TaskType, form: Form) -> None:
    text = fallback_answer(task, form, "why").text
    pixels = Form(form.question, form.image_size, "pixel")
    if task in (TaskType.CLASSIFICATION, TaskType.MULTI_LABEL) and not (form.options or form.labels):
        assert text == TASKS[task].fallback
        return
    assert ANSWER_CLASSES[TASKS[task].answer_type].parse(text, pixels).format() == text


@given(st.sampled_from(list(ANSWER_CLASSES.values())), st.text(), forms)
def test_parsers_raise_nothing_but_unparsable(kind: type[Answer], text: str, form: Form) -> None:
    try:
        kind.parse(text, form)
    except Unparsable as error:
        assert not text.strip() or text.strip() not in str(error) or len(text.strip()) < 20, "no quoting of model text"


@pytest.mark.parametrize(
    "style", ["A: {}, B: {}, C: {}", "A) {} B) {} C) {}", "A. {}, B. {}, C. {}", "A: {}\nB: {}\nC: {}"]
)
def test_lettered_options_are_found_in_every_style(style: str) -> None:
    names = ("Class I (free-end)", "Stage 2, mild", "None: normal")
    assert Form("Which? " + style.format(*names)).options == dict(zip("ABC", names, strict=True))


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_options_of_every_synthetic_data_set_are_found(dataset: Any) -> None:
    form = Form(dataset.question(dataset.wordings[0], dataset.targets[0]))
    if dataset.style in ("A:", "A)", "A."):
        assert tuple(form.options.values()) == dataset.options
    elif dataset.style == "text":
        assert form.labels == dataset.options
        assert dataset.task is not TaskType.MULTI_LABEL or form.separator == dataset.separator


def test_choice_takes_a_letter_or_an_options_text() -> None:
    assert Choice.parse(" B\n", LETTERED).format() == "B"
    assert Choice.parse("Dog", LETTERED).format() == "B"
    assert Choice.parse("Both", TEXTUAL).format() == "Both"
    for text in ("D", "b", "B.", "Fish", ""):
        with pytest.raises(Unparsable):
            Choice.parse(text, LETTERED)


def test_labels_keep_the_one_that_holds_commas_whole() -> None:
    assert LabelSet.parse("Gap; Filling, crown, and repair", SEVERAL).labels == ("Gap", "Filling, crown, and repair")
    commas = Form("List all that apply from: Wide heart, Fluid line.")
    assert LabelSet.parse("Fluid line, Wide heart", commas).format() == "Fluid line, Wide heart"
    for text in ("Gap; Gap", "Gap;", "gap", "Gap, Decay", ""):
        with pytest.raises(Unparsable):
            LabelSet.parse(text, SEVERAL)


def test_boxes_are_turned_from_thousandths_into_pixels() -> None:
    form = Form("Where?", (400, 200), "norm1000")
    assert Boxes.parse("[[100, 250, 500, 1000]]", form).format() == "[[40, 50, 200, 200]]"
    assert InstanceBoxes.parse('{"X": [[0, 0, 500, 500]]}', form).format() == '{"X": [[0, 0, 200, 100]]}'


def test_boxes_are_clipped_to_the_image() -> None:
    assert Boxes.parse("[[-5, 10, 900, 20.4]]", Form("Where?", (200, 100))).format() == "[[0, 10, 200, 20]]"


@pytest.mark.parametrize(
    "text",
    ["[1, 2, 3, 4]", "[[1, 2, 3]]", "[[5, 5, 5, 9]]", "[[9, 9, 5, 5]]", '[["1", 2, 3, 4]]', "[[1, 2, 3, true]]",
     "[[1, 2, 3, NaN]]", "[[1, 2, 3, 1e999]]", f"[[1, 2, 3, {'9' * 400}]]", "[[1, 2, 3, 4]", "{}", "[" * 5000, ""],
)  # fmt: skip
def test_what_is_no_list_of_boxes_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Boxes.parse(text, Form("Where?", (200, 100)))


def test_boxes_read_alike_as_json_and_as_python() -> None:
    text = Boxes((Box(1, 2, 3, 4), Box(5, 6, 7, 8))).format()
    assert json.loads(text) == ast.literal_eval(text) == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("text", ["-1", "1.0", "1,234", "12 cells", "1e3", "007", "1000000", "", "٣"])
def test_what_is_no_bare_count_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Count.parse(text, pixel_form)


@pytest.mark.parametrize("text", ["12%", "1e3", "nan", "inf", "1,5", ".5", "5.", "2.47e253", "", "9" * 8])
def test_what_is_no_bare_number_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Measurement.parse(text, pixel_form)


def test_measurements_never_have_an_exponent() -> None:
    assert Measurement.parse("20.1631313163075", pixel_form).format() == "20.1631313163075"
    assert Measurement.parse("0.0000001", pixel_form).format() == "0.0000001"
    assert Measurement.parse("0", pixel_form).format() == "0.0"


def test_a_report_is_one_line() -> None:
    assert (
        Report.parse(" First line.\n\tSecond\x00 line. \u2028Third.\ufffd", pixel_form).format()
        == "First line. Second line. Third."
    )
    for text in ("", " \n", "\u200b", "\ufffd"):
        with pytest.raises(Unparsable):
            Report.parse(text, pixel_form)
