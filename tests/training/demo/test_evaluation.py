from __future__ import annotations

import pytest

from submission.answers import ANSWER_CLASSES, Form
from submission.tasks import TASKS, TaskType
from tests.conftest import DEMO
from training.demo.evaluation import SYSTEMS, evaluate, score

SMALLER_IS_BETTER = {TASKS[task].title for task in (TaskType.COUNTING, TaskType.REGRESSION)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Each system's score by task, on a few new pictures and held-out wordings."""
    found = evaluate(DEMO, tmp_path_factory.mktemp("evaluation"), per_dataset=12)
    return {str(row[0]): dict(zip(SYSTEMS, row[4:], strict=True)) for row in found}  # type: ignore[arg-type]


def test_every_task_is_measured_for_every_system(rows: dict[str, dict[str, float]]) -> None:
    assert set(rows) == {task.title for task in TASKS.values()}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.adapter)
def test_what_was_trained_beats_the_base(rows: dict[str, dict[str, float]], task: object) -> None:
    title = TASKS[task.type].title  # type: ignore[attr-defined]
    sign = -1 if title in SMALLER_IS_BETTER else 1
    # Held to the grammar the base writes its boxes legally too, and it has learned longest to find things.
    boxes = task.type in (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)  # type: ignore[attr-defined]
    for system in (() if boxes else ("MT",)) + ("TS by router", "TS declared"):
        assert sign * rows[title][system] > sign * rows[title]["base"], (title, rows[title])


@pytest.mark.parametrize(
    ("task", "truth", "said", "expected"),
    [
        (TaskType.CLASSIFICATION, ["A", "A", "B"], ["A", "B", "B"], 0.75),
        (TaskType.MULTI_LABEL, ["x; y"], ["x"], 2 / 3),
        (TaskType.DETECTION, ["[[0, 0, 10, 10]]"], ["[[0, 0, 10, 9]]"], 1.0),
        (TaskType.INSTANCE_DETECTION, ['{"1": [[0, 0, 10, 10]]}'], ['{"2": [[0, 0, 10, 10]]}'], 0.0),
        (TaskType.COUNTING, ["3", "5"], ["4", "9"], 2.5),
        (TaskType.REGRESSION, ["1.5"], ["1.0"], 0.5),
        (TaskType.REPORT, ["All is well.", "It is not."], ["All is well.", "It is."], 0.5),
    ],
)
def test_each_task_has_its_measure(task: TaskType, truth: list[str], said: list[str], expected: float) -> None:
    form = Form("Which? A: x, B: y" if task is TaskType.CLASSIFICATION else "Which: x; y.")
    read = ANSWER_CLASSES[TASKS[task].answer_type].parse
    pairs = [(read(one, form), read(other, form)) for one, other in zip(truth, said, strict=True)]
    assert score(task, pairs) == pytest.approx(expected)
