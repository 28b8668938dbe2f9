from __future__ import annotations

from benchmarks.agreement import compare
from mevlip.answers import ParsedAnswer
from mevlip.inference.completion import Completion
from mevlip.inference.engine import Answer
from mevlip.tasks import TaskType


def answered(position: int, text: str, task: TaskType, sure: float) -> Answer:
    return Answer(position, task, task.value, 1.0, ParsedAnswer(text, "strict"), Completion(text, 2, sure))


def test_what_changed_is_told_by_task_with_how_sure_the_exact_answer_was() -> None:
    tasks = (TaskType.COUNTING, TaskType.DETECTION, TaskType.COUNTING, TaskType.COUNTING)
    exact = {place: answered(place, "1", task, 0.2 + place / 10) for place, task in enumerate(tasks)}
    other = {place: answered(place, "1" if place == 3 else "2", task, 0.9) for place, task in enumerate(tasks)}
    assert compare(exact, exact) == (4, "")
    assert compare(exact, other) == (1, "2 counting (0.20-0.40), 1 detection (0.30-0.30)")
