"""What every task has, and what a further one lacks, by name."""

from __future__ import annotations

from dataclasses import replace

from mevlip.answers import QuestionSpec
from mevlip.answers.report import Report
from mevlip.tasks import TASKS, Task, TaskType, fold
from mevlip_validation.metrics import missing_rooms
from mevlip_validation.targets import WRITERS
from tests.conftest import ROOT


def lacking(task: Task, others: list[Task]) -> list[str]:
    """What a task still lacks, one line each."""
    found = missing_rooms({task.type: task})
    if task.answer not in WRITERS:
        found.append(f"{task.type}: mevlip_validation/targets.py does not write {task.answer.__name__}")
    if not (ROOT / f"llamafactory_configs/{task.type}.yaml").is_file():
        found.append(f"{task.type}: llamafactory_configs/{task.type}.yaml is missing")
    if fold(task.type) not in task.spellings or task.spellings != tuple(map(fold, task.spellings)):
        found.append(f"{task.type}: its own name is not a spelling, or a spelling is not folded")
    for other in others:
        if task.router_label == other.router_label or set(task.spellings) & set(other.spellings):
            found.append(f"{task.type}: shares its router label or a spelling with {other.type}")
    if task.answer.parse(task.fallback, QuestionSpec("?", None, "pixel")).format() != task.fallback:
        found.append(f"{task.type}: its fallback is not one of its answers")
    return found


def test_every_task_has_all_its_rooms() -> None:
    tasks = list(TASKS.values())
    assert [line for task in tasks for line in lacking(task, [other for other in tasks if other is not task])] == []


def test_what_a_further_task_lacks_is_named() -> None:
    class Contour(Report):
        """An answer type that nothing else knows."""

    outline = TaskType.register("outline")
    planted = replace(TASKS[TaskType.REPORT], type=outline, answer=Contour)
    lines = lacking(planted, [TASKS[TaskType.REPORT]])
    assert len(lines) == 5 and all("outline" in line for line in lines), lines
    for part in ("metrics", "does not write Contour", "outline.yaml is missing", "not a spelling", "report_generation"):
        assert any(part in line for line in lines), part
