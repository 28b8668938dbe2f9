from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError
from mevlip.flare.ground_truth import has_answer, read_answered
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TaskType
from tests.conftest import EXAMPLES, record


def write(path: Path, *records: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records))


def answers(root: Path) -> list[Any]:
    return [row.answer for row in read_answered(root).rows]


def test_questions_and_order_are_the_predictors() -> None:
    folder = read_answered(EXAMPLES)
    assert [row.question for row in folder.rows] == list(read_input_folder(EXAMPLES).questions)
    assert not folder.problems and all(has_answer(row.answer) for row in folder.rows)


def test_a_folder_that_predict_accepts_is_accepted(tmp_path: Path) -> None:
    write(tmp_path / "z/deep/er/items.json", record("q0"), record("q1"))
    write(tmp_path / "z/deep/er/items_withGT.json", record("q0", Answer="A"), record("q1", Answer="B"))
    write(tmp_path / "z/own.json", record("q2", Answer="A"))
    write(tmp_path / "z/deep/notes.json", {"no": "questions"})
    write(tmp_path / "predictions.json", record("q0", Answer="never read"))
    write(tmp_path / ".hidden.json", record("q9", Answer="never read"))
    folder = read_answered(tmp_path)
    assert [row.question for row in folder.rows] == list(read_input_folder(tmp_path).questions)
    assert [(row.question.where, row.answer) for row in folder.rows] == [
        ("z/own.json[0]", "A"),
        ("z/deep/er/items.json[0]", "A"),
        ("z/deep/er/items.json[1]", "B"),
    ]
    assert not folder.problems


def test_ground_truth_beside_a_question_file_gives_its_answers(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record(Answer="A"), record("q1", Answer="A"))
    write(tmp_path / "x_questions_val_withGT.json", record(Answer="B"), record("q1", Answer=""))
    assert answers(tmp_path) == ["B", "A"], "its own answer stands where the ground truth has none"


def test_ground_truth_alone_is_a_question_file_in_its_place(tmp_path: Path) -> None:
    write(tmp_path / "b_questions_val_withGT.json", record("q1", Answer="B"))
    for name, answer in (("a", "A"), ("c", "C")):
        write(tmp_path / f"{name}_questions_val.json", record("q", Answer=answer))
    assert answers(tmp_path) == ["A", "B", "C"]
    row = read_answered(tmp_path).rows[1]
    assert (row.question.where, row.question.position) == ("b_questions_val_withGT.json[0]", 1)


def test_other_files_with_ground_truth_in_their_names_do_not_hide_questions(tmp_path: Path) -> None:
    write(tmp_path / "a_questions_val.json", record(Answer="A"))
    write(tmp_path / "notes_withGT.json", record("other", Answer="B"))
    assert answers(tmp_path) == ["A"]


@pytest.mark.parametrize("name", ["x_questions_val_withGT.json", "x_questions_val_withgt.json"])
def test_the_case_of_the_mark_does_not_matter(tmp_path: Path, name: str) -> None:
    write(tmp_path / "x_questions_val.json", record())
    write(tmp_path / name, record(Answer="B"))
    assert answers(tmp_path) == ["B"]


def test_one_file_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record())
    write(tmp_path / "x_questions_val_withGT.json", record(Answer="B"))
    write(tmp_path / "y_questions_val.json", record(Answer="A"))
    assert answers(tmp_path / "x_questions_val.json") == ["B"]
    assert answers(tmp_path / "x_questions_val_withGT.json") == ["B"]
    [row] = read_answered(tmp_path / "y_questions_val.json").rows
    assert (row.question.where, row.question.folder) == ("y_questions_val.json[0]", tmp_path.resolve())


def test_an_answer_to_another_question_is_never_taken(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record("q0"), record("q1"), record("q2", image="b.png"))
    write(tmp_path / "x_questions_val_withGT.json", record("q1", Answer="B"), record("q1", Answer="B"))
    folder = read_answered(tmp_path)
    assert [row.answer for row in folder.rows] == ["", "B", ""]
    assert [line.split(":")[0] for line in folder.problems] == ["x_questions_val.json[0]", "x_questions_val.json[2]"]
    assert [row.where for row in folder.rows] == [
        "x_questions_val.json[0]", "x_questions_val_withGT.json[1]", "x_questions_val.json[2]",
    ]  # fmt: skip


def test_answers_without_questions_are_named(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record())
    write(tmp_path / "x_questions_val_withGT.json", record(Answer="B"), record("more", Answer="B"))
    folder = read_answered(tmp_path)
    assert [row.answer for row in folder.rows] == ["B"]
    assert folder.problems == ("x_questions_val_withGT.json: 1 records more than its question file has; left out",)


def test_the_ground_truth_may_know_the_task_type(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record(TaskType=""), record(TaskType="Counting"))
    write(tmp_path / "x_questions_val_withGT.json", record(Answer="B"), record(Answer="B"))
    rows = read_answered(tmp_path).rows
    assert [row.task for row in rows] == [TaskType.CLASSIFICATION, TaskType.COUNTING]


@pytest.mark.parametrize("content", ["{broken", "7", "[]"])
def test_a_broken_ground_truth_is_named_and_leaves_the_answers_empty(tmp_path: Path, content: str) -> None:
    write(tmp_path / "x_questions_val.json", record())
    (tmp_path / "x_questions_val_withGT.json").write_text(content)
    folder = read_answered(tmp_path)
    assert [row.answer for row in folder.rows] == [""]
    assert "x_questions_val_withGT.json: is not" in folder.problems[0]


def test_ground_truth_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "in/x_questions_val.json", record())
    write(tmp_path / "secret.json", record(Answer="B"))
    (tmp_path / "in/x_questions_val_withGT.json").symlink_to(tmp_path / "secret.json")
    assert answers(tmp_path / "in") == [""]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No question file"):
        read_answered(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_answered(tmp_path / "absent")
    (tmp_path / "notes.json").write_text("{broken")
    with pytest.raises(InputError, match=r"notes.json: is not valid JSON"):
        read_answered(tmp_path / "notes.json")


@pytest.mark.parametrize(
    ("answer", "said"), [("A", True), (" ", False), (None, False), ([], True), ({}, True), (0, True)]
)
def test_an_empty_list_is_an_answer(answer: Any, said: bool) -> None:
    assert has_answer(answer) is said


@pytest.mark.timeout(60)
def test_a_ground_truth_that_is_a_pipe_is_named_and_leaves_the_answers_empty(tmp_path: Path) -> None:
    write(tmp_path / "x_questions_val.json", record())
    os.mkfifo(tmp_path / "x_questions_val_withGT.json")
    folder = read_answered(tmp_path)
    assert [row.answer for row in folder.rows] == [""]
    assert folder.problems == ("x_questions_val_withGT.json: is a named pipe, not a regular file",)
