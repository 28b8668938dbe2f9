from __future__ import annotations

from pathlib import Path

from benchmarks.scale import measure, write_folder
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TaskType


def test_every_question_of_a_folder_is_answered_without_a_model() -> None:
    assert measure(30)["answers"] == 30


def test_folders_have_all_tasks_and_two_questions_for_each_picture(tmp_path: Path) -> None:
    write_folder(tmp_path, 40)
    questions = read_input_folder(tmp_path).questions
    assert {question.declared for question in questions} == set(TaskType)
    assert len({question.pictures for question in questions}) == 20
