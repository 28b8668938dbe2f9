from __future__ import annotations

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.baselines import constant_rows
from tests.validation.rows import make_row


def constant(task: TaskType, *truths: str) -> str | None:
    known = [make_row(task, None, truth) for truth in truths]
    return constant_rows([make_row(task, "x", truths[0])], known)[0].prediction


def test_each_task_has_its_best_constant() -> None:
    assert constant(TaskType.CLASSIFICATION, "A", "B", "B") == "B"
    assert constant(TaskType.MULTI_LABEL, "Dental Caries", "Dental Caries", "Pulp Diseases") == "Dental Caries"
    assert constant(TaskType.COUNTING, "1", "7", "100") == "7"
    assert constant(TaskType.REGRESSION, "1.5", "2", "9") == "2.0"
    assert constant(TaskType.DETECTION, "[[0, 0, 10, 10]]", "[[10, 20, 30, 30]]") == "[[5, 10, 20, 20]]"
    assert constant(TaskType.INSTANCE_DETECTION, '{"1": [[0, 0, 1, 1]]}') == "{}"
    assert constant(TaskType.REPORT, "All is well.", "All is well.", "It is not.") == "All is well."


def test_constants_belong_to_their_data_set() -> None:
    known = [make_row(TaskType.COUNTING, None, "5", "one"), make_row(TaskType.COUNTING, None, "50", "two")]
    rows = [make_row(TaskType.COUNTING, "1", "9", name) for name in ("two", "one", "three")]
    assert [row.prediction for row in constant_rows(rows, known)] == ["50", "5", TASKS[TaskType.COUNTING].fallback]


def test_unreadable_truths_make_no_constant() -> None:
    assert constant(TaskType.COUNTING, "many") == TASKS[TaskType.COUNTING].fallback
    assert constant(TaskType.DETECTION, "nowhere") == "[]"
