"""Properties that every answer type has, and the grammar of each."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec, TypedAnswer
from mevlip.answers.base import Unparsable
from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.clean import is_wrapped
from mevlip.answers.grammar import Lark, up_to
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip.answers.report import Report
from mevlip.flare.predictions import schema_validator
from mevlip.reading import fallback_answer, read_answer
from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.wordings import DATASETS

LETTERED = QuestionSpec("Which is it? A: Cat, B: Dog, C: Bird", (200, 100))
TEXTUAL = QuestionSpec("Which is it? Options: Mass, Specks, Both.", (200, 100))
SEVERAL = QuestionSpec("Choose all, divided by a semicolon: Decay; Gap; Filling, crown, and repair.", (200, 100))

QUESTIONS = [dataset.question(dataset.wordings[0], dataset.targets[0]) for dataset in DATASETS]
specs = st.builds(
    QuestionSpec,
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
pixel_form = QuestionSpec("Where?", None, "pixel")

typed_answers: st.SearchStrategy[tuple[TypedAnswer, QuestionSpec]] = st.one_of(
    st.sampled_from([(Choice(letter), LETTERED) for letter in "ABC"]),
    st.sampled_from([(Choice(text), TEXTUAL) for text in ("Mass", "Specks", "Both")]),
    st.sets(st.sampled_from(SEVERAL.labels), min_size=1).map(
        lambda some: (LabelSet(tuple(sorted(some, key=SEVERAL.labels.index)), "; "), SEVERAL)
    ),
    st.lists(boxes, min_size=1, max_size=5, unique=True).map(lambda many: (Boxes(tuple(many)), pixel_form)),
    st.dictionaries(
        st.text(max_size=3), st.lists(boxes, min_size=1, max_size=3, unique=True).map(tuple), max_size=4
    ).map(lambda by_id: (InstanceBoxes(tuple(by_id.items())), pixel_form)),
    st.integers(0, 999999).map(lambda n: (Count(n), pixel_form)),
    decimals.map(lambda x: (Measurement(x), pixel_form)),
    visible.map(lambda text: " ".join(text.split()))
    .filter(lambda text: not is_wrapped(text))
    .map(lambda text: (Report(text), pixel_form)),
)


@given(typed_answers)
def test_formatting_and_parsing_are_inverse(pair: tuple[TypedAnswer, QuestionSpec]) -> None:
    answer, spec = pair
    assert type(answer).parse(answer.format(), spec) == answer


@given(st.sampled_from(TaskType), st.text(), specs)
def test_any_text_gives_a_legal_line(task: TaskType, text: str, spec: QuestionSpec) -> None:
    outcome = read_answer(task, text, spec)
    assert schema_validator().is_valid([{"Answer": outcome.text}])
    assert (outcome.stage != "strict") == bool(outcome.reason)
    again = read_answer(task, outcome.text, replace(spec, box_space="pixel"))
    assert (again.stage, again.text) == ("strict", outcome.text), "what is written is itself strictly legal"


@given(st.sampled_from(TaskType), specs)
def test_a_fallback_follows_the_grammar_of_its_task(task: TaskType, spec: QuestionSpec) -> None:
    text = fallback_answer(task, spec, "why").text
    if not (spec.options or spec.labels) and task is TaskType.CLASSIFICATION:
        assert text == TASKS[task].fallback
    assert TASKS[task].answer.parse(text, replace(spec, box_space="pixel")).format() == text


@given(
    st.sampled_from([task.answer for task in TASKS.values()]),
    st.text() | st.from_regex(r"[\[{(\d, .:\"'XY\])}]{0,40}"),
    specs,
)
def test_parsers_raise_nothing_but_unparsable(kind: type[TypedAnswer], text: str, spec: QuestionSpec) -> None:
    for read in (kind.parse, kind.parse_tolerantly, kind.repair):
        try:
            read(text, spec)
        except Unparsable as error:
            assert not text.strip() or text.strip() not in str(error) or len(text.strip()) < 20, "no quoting"


def test_choice_takes_a_letter_or_an_unlettered_options_text() -> None:
    assert Choice.parse(" B\n", LETTERED).format() == "B"
    assert Choice.parse("Both", TEXTUAL).format() == "Both"
    for text in ("D", "b", "B.", "Dog", "Fish", ""):
        with pytest.raises(Unparsable):
            Choice.parse(text, LETTERED)


def test_labels_keep_the_one_that_holds_commas_whole() -> None:
    assert LabelSet.parse("Gap; Filling, crown, and repair", SEVERAL).labels == ("Gap", "Filling, crown, and repair")
    commas = QuestionSpec("List all that apply from: Wide heart, Fluid line.")
    assert LabelSet.parse("Fluid line, Wide heart", commas).format() == "Wide heart, Fluid line", "the question's order"
    for text in ("Gap; Gap", "Gap;", "gap", "Gap, Decay", ""):
        with pytest.raises(Unparsable):
            LabelSet.parse(text, SEVERAL)


def test_boxes_are_turned_from_thousandths_into_pixels() -> None:
    spec = QuestionSpec("Where?", (400, 200), "norm1000")
    assert Boxes.parse("[[100, 250, 500, 1000]]", spec).format() == "[[40, 50, 200, 200]]"
    assert InstanceBoxes.parse('{"X": [[0, 0, 500, 500]]}', spec).format() == '{"X": [[0, 0, 200, 100]]}'


def test_boxes_are_clipped_to_the_image() -> None:
    assert Boxes.parse("[[-5, 10, 900, 20.4]]", QuestionSpec("Where?", (200, 100))).format() == "[[0, 10, 200, 20]]"


@pytest.mark.parametrize(
    "text",
    ["[1, 2, 3, 4]", "[[1, 2, 3]]", "[[5, 5, 5, 9]]", "[[9, 9, 5, 5]]", '[["1", 2, 3, 4]]', "[[1, 2, 3, true]]",
     "[[1, 2, 3, NaN]]",
     "[[1, 2, 3, 4], [1, 2, 3, 4]]", "[[1, 2, 3, 1e999]]",
     f"[[1, 2, 3, {'9' * 400}]]", "[[1, 2, 3, 4]", "{}", "[" * 5000, ""],
)  # fmt: skip
def test_what_is_no_list_of_boxes_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Boxes.parse(text, QuestionSpec("Where?", (200, 100)))


def test_of_a_text_without_end_the_first_thousand_boxes_are_taken() -> None:
    """A model that repeats itself, one box after another; what is not strict JSON is read by four numbers each."""
    drawn = [Box(x, 0, x + 1, 5) for x in range(1200)]
    flat = " ".join(str(list(box)) for box in drawn)
    assert Boxes.parse_tolerantly(flat, pixel_form) == Boxes(tuple(drawn[:1000]))
    assert Boxes.repair(f"[{flat}", pixel_form) == Boxes(tuple(drawn[:1000])), "cut off, too"
    named = "{'7': [" + ", ".join(str(list(box)) for box in drawn) + "]}"
    assert InstanceBoxes.parse_tolerantly(named, pixel_form) == InstanceBoxes((("7", tuple(drawn[:1000])),))
    without_area = "[4, 4, 4, 4] " * 50
    assert len(Boxes.parse_tolerantly(without_area + flat, pixel_form).boxes) == 1000, "those without area do not count"


def test_boxes_read_alike_as_json_and_as_python() -> None:
    text = Boxes((Box(1, 2, 3, 4), Box(5, 6, 7, 8))).format()
    assert json.loads(text) == ast.literal_eval(text) == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("text", ["-1", "1.0", "1,234", "12 cells", "1e3", "007", "1000000", "", "٣"])
def test_what_is_no_bare_count_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Count.parse(text, pixel_form)


@given(st.integers(0, 999_999), st.integers(0, 50), st.integers(51, 999_999))
def test_a_count_beyond_the_plausible_range_is_clamped_and_one_within_is_kept(value: int, low: int, high: int) -> None:
    spec = replace(pixel_form, count_range=(low, high))
    read = read_answer(TaskType.COUNTING, str(value), spec)
    assert read.text == str(min(max(value, low), high))
    assert read.stage == ("strict" if low <= value <= high else "tolerant")


@given(st.integers(1, 999_999), st.integers(0, 999_999))
def test_the_grammar_of_counts_writes_what_is_plausible_and_nothing_greater(high: int, value: int) -> None:
    grammar = Count.grammar(replace(pixel_form, count_range=(0, high)))
    assert isinstance(grammar, Lark)
    written = grammar.source.removeprefix("start: /").removesuffix("/")
    assert bool(re.fullmatch(written, str(value))) == (value <= high)
    assert re.fullmatch(written, str(high)) and not re.fullmatch(written, str(high + 1))


@pytest.mark.parametrize("text", ["12%", "1e3", "nan", "inf", "1,5", ".5", "5.", "2.47e253", "", "9" * 8])
def test_what_is_no_bare_number_is_refused(text: str) -> None:
    with pytest.raises(Unparsable):
        Measurement.parse(text, pixel_form)


def test_measurements_never_have_an_exponent() -> None:
    assert Measurement.parse("20.1631313163075", pixel_form).format() == "20.1631313163075"
    assert Measurement.parse("0.0000001", pixel_form).format() == "0.0000001"
    assert Measurement.parse("0", pixel_form).format() == "0.0"


def test_a_report_is_one_line() -> None:
    text = " First line.\n\tSecond\x00 line. \u2028Third.\ufffd"
    assert Report.parse_tolerantly(text, pixel_form).format() == "First line. Second line. Third."
    with pytest.raises(Unparsable):
        Report.parse(text, pixel_form)
    for nothing in ("", " \n", "\u200b", "\ufffd", "<think>only a thought"):
        with pytest.raises(Unparsable):
            Report.parse_tolerantly(nothing, pixel_form)


@given(st.integers(0, 99_999), st.integers(0, 120_000))
def test_the_pattern_of_bounded_numbers_is_exact(most: int, number: int) -> None:
    assert bool(re.fullmatch(up_to(most), str(number))) == (number <= most)
    assert not re.fullmatch(up_to(most), f"0{number}") or most == number == 0
