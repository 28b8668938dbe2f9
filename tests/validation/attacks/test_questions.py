from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mevlip.tasks import TaskType
from mevlip_validation.ablation import read_folders
from mevlip_validation.attacks.questions import sample
from mevlip_validation.matching import rows_of_questions
from tests.conftest import EXAMPLES


def test_questions_are_paired_with_their_own_truths(write_questions: Callable[..., Path]) -> None:
    record = {"TaskType": "Counting", "ImageName": "a.png", "Question": "How many?", "Answer": "3"}
    root = write_questions([record, {**record, "Answer": ""}, {**record, "TaskType": "?"}, {**record, "Answer": "5"}])
    folder, truths = read_folders(root, root, Path("build"))
    found = rows_of_questions(truths, folder.questions)
    assert [(place, row.truth) for place, row in found.items()] == [(0, "3"), (3, "5")]
    assert all(row.answer is None for row in found.values())


def test_a_sample_has_as_many_questions_of_each_task_as_there_are() -> None:
    folder, truths = read_folders(EXAMPLES, EXAMPLES, Path("build"))
    rows = rows_of_questions(truths, folder.questions)
    assert len(rows) == 54 and sample(rows, None, 0) == rows
    few = sample(rows, 4, seed=1)
    counts = Counter(row.task for row in few.values())
    assert len(few) == 4 * 4 + 3 * 3 and counts[TaskType.CLASSIFICATION] == 4 and counts[TaskType.COUNTING] == 3
    assert [*few] == sorted(few)
    assert few.keys() == sample(rows, 4, seed=1).keys() != sample(rows, 4, seed=2).keys()
