"""What each kind makes of one row: whatever the labels are, the right option is there once and its letter is right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.flare.questions import Question
from mevlip.routing.consistency import decide_task
from mevlip.tasks import TaskType
from mevlip_training.data.augmentation.base import DataSet, Open, Options, Original, kind, kinds, may_move
from mevlip_training.data.augmentation.kinds.choice import stem_of
from mevlip_training.data.augmentation.kinds.place import PLACES, place_of, subject_of
from mevlip_training.data.records import Example
from mevlip_validation.targets import write_target
from tests.training.data.conftest import row

SIZE = (300, 300)
words = st.text("abcdefghijklmnop ", min_size=2, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
labels = st.lists(words, min_size=3, max_size=9, unique=True)


def original(
    task: TaskType, question: str, answer: Any, image: str = "1.png", size: tuple[int, int] = SIZE
) -> Original:
    record = row(answer, image, question=question, TaskType=task.value)
    example = Example(
        Question(0, "training/Xray/d/d_questions_train.json", 0, record, Path()), answer, task, "training", "Xray", "d"
    )
    return Original(example, write_target(task, answer, QuestionSpec(question, size)), size, (image,))


def make(name: str, *rows: Original, options: int = 4) -> Open | Options | None:
    """What a kind makes of the first of a data set's rows."""
    return kinds()[name].make(rows[0], DataSet(rows, options), random.Random(1))


def written(draft: Open | Options | None, place: int = 0) -> tuple[QuestionSpec, list[str]]:
    """A draft's question with the right option in a place, and its options' texts."""
    assert isinstance(draft, Options)
    texts = [*draft.wrong[:place], draft.right, *draft.wrong[place:]]
    text = draft.write(texts)
    assert text is not None
    return QuestionSpec(text), texts


def test_every_kind_has_a_name_of_its_own_and_says_what_it_makes() -> None:
    assert list(kinds()) == ["chinese", "choice", "place", "report", "shuffle"]
    assert all(one.about for one in kinds().values())
    with pytest.raises(ValueError, match="'choice' is a kind already"):
        kind("choice", "again")(lambda *_: None)


@given(labels, st.data())
def test_labels_become_a_choice_with_the_right_one_once_and_no_true_one_beside(
    listed: list[str], data: st.DataObject
) -> None:
    question = f"What is on tooth 12? Select all that apply: {'; '.join(listed)}."
    assume(QuestionSpec(question).labels == tuple(listed))
    true = data.draw(st.lists(st.sampled_from(listed), min_size=1, max_size=len(listed) - 1, unique=True))
    wanted = data.draw(st.integers(2, 9))
    draft = make("choice", original(TaskType.MULTI_LABEL, question, "; ".join(true)), options=wanted)
    spec, texts = written(draft, place=1)
    assert isinstance(draft, Options)
    assert draft.right in true and not set(draft.wrong) & set(true)
    assert len(texts) == len(set(texts)) == min(wanted, len(listed) - len(true) + 1)
    assert [*spec.options.values()] == texts and not spec.several
    assert decide_task(TaskType.CLASSIFICATION, spec.question) is TaskType.CLASSIFICATION
    assert spec.line.startswith("What is on tooth 12? ")


@given(labels, st.data())
def test_shuffled_options_are_the_same_texts_under_the_same_marks(texts: list[str], data: st.DataObject) -> None:
    style = data.draw(st.sampled_from(("{}: {},", "{}) {}", "{}. {}")))
    marks = "ABCDEFGHI"[: len(texts)]
    question = "What is it? " + " ".join(map(style.format, marks, texts)).rstrip(",")
    assume([*QuestionSpec(question).options.values()] == texts and may_move(texts))
    right = data.draw(st.sampled_from(marks))
    spec, order = written(make("shuffle", original(TaskType.CLASSIFICATION, question, right)), place=2)
    assert "".join(spec.options) == marks and [*spec.options.values()] == order
    assert sorted(order) == sorted(texts) and order[2] == texts[marks.index(right)]


@pytest.mark.parametrize(
    "options",
    ["A: Cyst, B: Node, C: All of the above", "A: Cyst, B: Node, C: A and B", "A: Cyst, B: cyst, C: Node"],
)
def test_options_that_name_others_or_repeat_one_stay_in_their_order(options: str) -> None:
    assert make("shuffle", original(TaskType.CLASSIFICATION, f"What is it? {options}", "B")) is None


def test_a_lettered_question_becomes_a_shorter_choice_only_where_it_has_more_options() -> None:
    question = "Question: Which cell is it? Options: A: round B: oval C: flat D: tall E: bent"
    draft = make("choice", original(TaskType.CLASSIFICATION, question, "D"), options=3)
    spec, texts = written(draft)
    assert texts[0] == "tall" and len(texts) == 3
    assert spec.line.startswith("Which cell is it? Exactly one of these is right. A: tall, B: ")
    assert make("choice", original(TaskType.CLASSIFICATION, question, "D"), options=5) is None


def test_words_without_a_list_are_told_apart_from_other_answers_to_the_same_question() -> None:
    rows = [
        original(TaskType.CLASSIFICATION, "Name the subtype.", text, f"{n}.png")
        for n, text in enumerate(("one", "two", "three"))
    ]
    other = original(TaskType.CLASSIFICATION, "Name the grade.", "four", "9.png")
    draft = make("choice", *rows, other)
    assert isinstance(draft, Options) and draft.right == "one" and sorted(draft.wrong) == ["three", "two"]


@pytest.mark.parametrize(
    ("question", "stem"),
    [
        ("Is a fracture there?", "Is a fracture there?"),
        ("Which word fits? Choose from: Lump, Specks, Lump and specks.", "Which word fits?"),
        ("Question: Grade it. Options: A) low B) high", "Grade it."),
        ("What of it (round, flat)", "What of it."),
        ("Pick all entries that match: Cyst; Node.", ""),
    ],
)
def test_the_stem_is_the_question_without_its_list(question: str, stem: str) -> None:
    assert stem_of(QuestionSpec(question)) == stem


@given(st.integers(0, 295), st.integers(0, 295), st.integers(1, 300), st.integers(1, 300))
def test_the_place_named_is_the_one_where_the_boxs_middle_lies(left: int, top: int, width: int, height: int) -> None:
    box = [left, top, min(left + width, 300), min(top + height, 300)]
    found = place_of(box, SIZE)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    distance = min(abs(value - line) for value in (x, y) for line in (100, 200))
    assume(distance != 9)  # exactly the margin, which rounding decides
    near = distance < 9
    assert (found is None) == near
    if found:
        columns, rows = ("left", "middle", "right"), ("upper", "middle", "lower")
        expected = f"{rows[int(y // 100) if y < 300 else 2]} {columns[int(x // 100) if x < 300 else 2]}"
        assert found == expected.replace("middle middle", "center")


def test_a_single_box_becomes_a_question_of_place() -> None:
    question = "Give the corners [x_min, y_min, x_max, y_max] of a box around the dark node."
    draft = make("place", original(TaskType.DETECTION, question, "[[10, 220, 60, 290]]"))
    spec, texts = written(draft)
    assert texts[0] == "lower left" and set(texts) <= set(PLACES) and len(set(texts)) == 4
    assert spec.line.startswith("In which part of the picture is the middle of the dark node? A: lower left, B: ")
    two = original(TaskType.DETECTION, question, "[[10, 220, 60, 290], [10, 10, 60, 60]]")
    assert make("place", two) is None


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("Find the left kidney and return its bounding box coordinates.", "left kidney"),
        ("Return the coordinates ([x_min, y_min, x_max, y_max]) of nodes in this scan.", "nodes"),
        ("Where does the stent lie? Use [x_min, y_min, x_max, y_max].", "stent"),
        ("List the cyst coordinates [x_min, y_min, x_max, y_max] from the scan.", "cyst"),
        ("For the left lung, what are its coordinates [x_min, y_min, x_max, y_max]?", "left lung"),
        ("At which coordinates [x_min, y_min, x_max, y_max] does the polyp lie?", "polyp"),
        ("Box [x_min, y_min, x_max, y_max] of it?", ""),
        ("Please answer with [x_min, y_min, x_max, y_max].", ""),
    ],
)
def test_what_a_box_is_around_is_read_from_the_question(question: str, subject: str) -> None:
    assert subject_of(question) == subject


def test_a_lone_report_is_asked_for_freely_and_one_of_several_keeps_its_question() -> None:
    alone = original(TaskType.REPORT, "Describe the heart.", "It is of usual size.")
    other = original(TaskType.REPORT, "Describe the lungs.", "Both are clear.")
    free, framed = make("report", alone), make("report", alone, other)
    assert isinstance(free, Open) and "heart" not in free.text and free.answer == "It is of usual size."
    assert isinstance(framed, Open) and "Describe the heart." in framed.text and framed.text != "Describe the heart."


@pytest.mark.parametrize(
    ("task", "question", "answer"),
    [
        (TaskType.CLASSIFICATION, "What is it? A) Cyst B) Node", "B"),
        (TaskType.CLASSIFICATION, "What is it? Choose from: Cyst, Node", "Node"),
        (TaskType.MULTI_LABEL, "Select all that apply: Cyst; Node, and more; Scar.", "Cyst; Scar"),
        (TaskType.DETECTION, "Box [x_min, y_min, x_max, y_max] of it?", "[[1, 2, 30, 40]]"),
        (TaskType.INSTANCE_DETECTION, 'As {"1": [[x_min, y_min, x_max, y_max]]}?', '{"4": [[1, 2, 30, 40]]}'),
        (TaskType.COUNTING, "How many cells?", "12"),
        (TaskType.REGRESSION, "What percentage is lost?", "12.5"),
        (TaskType.REPORT, "Describe it.", "It is clear."),
    ],
)
def test_chinese_copies_keep_options_labels_unit_and_answer(task: TaskType, question: str, answer: str) -> None:
    row = original(task, question, answer)
    draft = make("chinese", row)
    assert isinstance(draft, Open) and draft.task is task
    assert any("\u4e00" <= char <= "\u9fff" for char in draft.text)
    spec = QuestionSpec(draft.text, SIZE)
    assert [*spec.options.values()] == [*row.spec.options.values()]
    assert (spec.labels, spec.shape, spec.unit) == (row.spec.labels, row.spec.shape, row.spec.unit)
    assert write_target(task, draft.answer, spec) == row.target
    assert decide_task(task, draft.text) is task
    assert make("chinese", row, original(task, f"Again: {question}", answer)) is None, "the two could not be told apart"
