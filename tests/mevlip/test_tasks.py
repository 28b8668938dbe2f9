from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names, fold, parse_task_type
from tests.conftest import ROOT


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
    assert len({task.answer for task in TASKS.values()}) == 7
    assert adapter_names() == (GENERALIST, *TaskType)
    for task in TASKS.values():
        assert parse_task_type(task.type.value) is task.type, "an adapter's name is a spelling too"
        assert task.spellings == tuple(map(fold, task.spellings))


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_a_further_task_is_one_file(tmp_path: Path) -> None:
    """An eighth task, added to a copy of the package by its own file: known, routed, read, constrained, planned."""
    shutil.copytree(ROOT / "submission" / "mevlip", tmp_path / "mevlip")
    (tmp_path / "mevlip/tasks/laterality.py").write_text(
        "from mevlip.answers.choice import Choice\n"
        "from mevlip.tasks.base import Task, TaskType\n"
        "TASK = Task(TaskType.register('laterality'), 'Laterality', ('laterality', 'body side'), 'name the side',\n"
        "            Choice, 'A', 8, 'accuracy', 'higher')\n"
    )
    code = """
from pathlib import Path
from mevlip.answers import QuestionSpec
from mevlip.checkpoints.routes import Route
from mevlip.flare.questions import Question
from mevlip.inference.batching import Budget, Size, plan
from mevlip.routing.policy import route
from mevlip.routing.router import TaskPrediction
from mevlip.tasks import TASKS, TaskType, adapter_names, parse_task_type
from mevlip.reading import grammar_of, read_answer

task = parse_task_type("Body-Side")
assert task is TaskType("laterality") is list(TASKS)[-1] and adapter_names()[-1] == "laterality"
spec = QuestionSpec("Which side? A: Left, B: Right")
assert read_answer(task, "right", spec).text == "B" and grammar_of(task, spec).texts == ("A", "B")
asked = Question.given_as(spec.question, [], task)
routed = route(asked, "router", {asked.text: TaskPrediction(task, 0.9)}, 0.3)
[batch] = plan([routed], Budget(99, 99), lambda item: Size((), 0, 9, 0))
assert (batch.adapter, batch.items[0].task) == ("laterality", task)
text = Route(adapter="laterality", base_model="b", base_revision="r", max_new_tokens={task: 8}).model_dump_json()
assert Route.model_validate_json(text).max_new_tokens == {task: 8}
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
