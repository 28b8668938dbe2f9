from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import ANSWER_CLASSES
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names, fold, parse_task_type


@pytest.mark.parametrize(
    ("spelling", "task"),
    [
        ("Classification", TaskType.CLASSIFICATION),
        ("classification", TaskType.CLASSIFICATION),
        ("Detection", TaskType.DETECTION),
        ("detection", TaskType.DETECTION),
        ("instance_detection", TaskType.INSTANCE_DETECTION),
        ("Instance Detection", TaskType.INSTANCE_DETECTION),
        ("multi-label classification", TaskType.MULTI_LABEL),
        ("Multi-label Classification", TaskType.MULTI_LABEL),
        ("regression", TaskType.REGRESSION),
        ("counting", TaskType.COUNTING),
        ("Cell Counting", TaskType.COUNTING),
        ("report_generation", TaskType.REPORT),
        ("Report_Generation", TaskType.REPORT),
        ("  REGRESSION ", TaskType.REGRESSION),
        ("", None),
        ("segmentation", None),
        (None, None),
        (["classification"], None),
    ],
)
def test_spellings_seen_in_the_wild_are_known(spelling: object, task: TaskType | None) -> None:
    assert parse_task_type(spelling) is task


def test_every_task_is_complete_and_distinct() -> None:
    assert set(TASKS) == set(TaskType)
    assert len({task.router_label for task in TASKS.values()}) == 7
    assert {task.answer_type for task in TASKS.values()} == set(ANSWER_CLASSES)
    assert adapter_names() == (GENERALIST, *TaskType)
    for task in TASKS.values():
        assert parse_task_type(task.type.value) is task.type, "an adapter's name is a spelling too"
        assert task.spellings == tuple(map(fold, task.spellings))


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
