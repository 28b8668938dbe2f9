from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TaskType
from mevlip_validation.matching import Matched, Truth, match, read_records, read_truth
from tests.conftest import EXAMPLES, record
from tests.validation.rows import make_explanation


def truths(*records: dict[str, Any]) -> list[Truth]:
    return [Truth(f"f[{index}]", Path("set"), one) for index, one in enumerate(records)]


def said(matched: Matched) -> list[str | None]:
    return [row.prediction for row in matched.rows]


ONE = record("One? A: x, B: y", Answer="A")
TWO = record("Two? A: x, B: y", ["a.png", "b.png"], Answer="B")


def test_rows_are_found_by_image_and_question_in_any_order() -> None:
    matched = match(truths(ONE, TWO), [{**TWO, "Answer": "B"}, {**ONE, "Answer": "C"}])
    assert said(matched) == ["C", "B"] and matched.is_complete
    assert matched.rows[1].images == ("a.png", "b.png")


def test_an_image_list_that_became_a_string_is_no_match() -> None:
    matched = match(truths(TWO), [{**TWO, "ImageName": str(TWO["ImageName"])}])
    assert matched.missing == ("f[0]",) and matched.surplus == ("[0]",)
    assert not matched.is_complete


def test_missing_repeated_and_surplus_rows_are_told_apart() -> None:
    matched = match(truths(ONE, TWO), [{**ONE, "Answer": "A"}, {**ONE, "Answer": "B"}, record("Another?")])
    assert (matched.missing, matched.duplicates, matched.surplus) == (("f[1]",), ("[1]",), ("[2]",))
    assert said(matched) == ["A", None]
    assert matched.rows[0].answers == ("A", "B")


def test_equal_questions_of_the_truth_are_answered_in_order() -> None:
    matched = match(truths(ONE, ONE), [{**ONE, "Answer": text} for text in ("A", "B", "C")])
    assert said(matched) == ["A", "B"]
    assert matched.duplicates == ("[2]",)
    assert [(row.answers, row.turn, row.is_last) for row in matched.rows] == [
        (("A", "B", "C"), 0, False),
        (("A", "B", "C"), 1, True),
    ]


def test_by_position_the_texts_do_not_matter() -> None:
    matched = match(truths(ONE, TWO), [{"Answer": "A"}, {"Answer": "B"}, {"Answer": "C"}], by="position")
    assert said(matched) == ["A", "B"] and matched.surplus == ("[2]",)


def test_truths_without_answer_or_task_are_not_scored_but_told() -> None:
    empty, unknown = {**ONE, "Answer": " "}, {**TWO, "TaskType": "poetry"}
    matched = match(truths(empty, unknown), [ONE, TWO])
    assert not matched.rows and matched.unscored == ("f[0]", "f[1]")
    assert not matched.surplus, "they were asked"


def test_answers_that_are_json_are_read_as_text() -> None:
    boxes = record("Where?", TaskType="Detection", Answer=[[1, 2, 3, 4]])
    matched = match(truths(boxes), [{**boxes, "Answer": [[1, 2, 3, 4]]}])
    assert matched.rows[0].target == matched.rows[0].prediction == "[[1, 2, 3, 4]]"


def test_the_truth_is_read_in_the_order_of_the_predictor() -> None:
    places = [truth.place.replace("_withGT", "") for truth in read_truth(EXAMPLES)]
    assert places == [question.where for question in read_input_folder(EXAMPLES).questions]


def test_ground_truth_stands_for_the_file_that_it_answers(tmp_path: Path) -> None:
    (tmp_path / "x_questions_val.json").write_text(json.dumps([record()]))
    (tmp_path / "x_questions_val_withGT.json").write_text(json.dumps([record(Answer="B")]))
    (tmp_path / "y_questions_val.json").write_text(json.dumps([record(Answer="A")]))
    assert [truth.record["Answer"] for truth in read_truth(tmp_path)] == ["B", "A"]
    [alone] = read_truth(tmp_path / "y_questions_val.json")
    assert alone.place == "y_questions_val.json[0]"


def test_a_folder_without_answers_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x_questions_val.json").write_text(json.dumps([record()]))
    with pytest.raises(InputError, match="no answered questions. Name"):
        read_truth(tmp_path)
    (tmp_path / "x_questions_val.json").write_text(json.dumps([record(Answer="A", TaskType="")]))
    with pytest.raises(InputError, match="no answered questions with a known TaskType"):
        read_truth(tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [("{", "cannot be read"), ("{}", "is not a list of records"), ("[1]", r"p.json\[0\] is a int")],
)
def test_a_file_that_is_not_a_list_of_records_is_named(tmp_path: Path, content: str, cause: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError, match=cause):
        read_records(tmp_path / "p.json")


def test_explanations_belong_to_their_predictions() -> None:
    predictions = [{**ONE, "Answer": "A"}, {**TWO, "Answer": "B"}]
    first, second = (make_explanation(text, TaskType.CLASSIFICATION, "counting") for text in "AB")
    rows = match(truths(TWO, ONE), predictions, [first, second]).rows
    assert [row.explanation for row in rows] == [second, first]
    assert match(truths(ONE), predictions[:1]).rows[0].explanation is None
    with pytest.raises(InputError, match=r"explanation \[0\] is of another Answer than prediction \[0\]"):
        match(truths(ONE, TWO), predictions, [second, first])
    for short in ([], [first]):
        with pytest.raises(InputError, match=f"{len(short)} explanations of 2 predictions"):
            match(truths(ONE, TWO), predictions, short)
