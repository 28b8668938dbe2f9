from __future__ import annotations

from pathlib import Path

from mevlip.flare.questions import Question
from mevlip.inference.batching import Batch
from mevlip.routing.policy import RoutedQuestion
from mevlip.runs.schedule import TimeLimit, in_time
from mevlip.tasks import TaskType

CLOSED, REPORT = TaskType.CLASSIFICATION, TaskType.REPORT


class Clock:
    """A clock that goes on as batches are answered."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def batch(task: TaskType, size: int = 2) -> Batch:
    question = Question(0, "f", 0, {}, Path())
    return Batch(task.value, (RoutedQuestion(question, task, 1.0, task.value),) * size)


def answered(batches: list[Batch], seconds: float | None, cost: dict[TaskType, float]) -> list[TaskType]:
    clock = Clock()
    order = []
    for one, _ in in_time(batches, TimeLimit(seconds, clock=clock)):
        clock.now += cost[TaskType(one.adapter)] * len(one.items)
        order.append(TaskType(one.adapter))
    return order


def test_without_a_limit_the_plan_is_kept() -> None:
    plan = [batch(REPORT), batch(CLOSED), batch(REPORT)]
    assert answered(plan, None, {REPORT: 1e6, CLOSED: 1.0}) == [REPORT, CLOSED, REPORT]


def test_while_there_is_time_for_all_the_plan_is_kept() -> None:
    plan = [batch(REPORT), batch(CLOSED), batch(REPORT)]
    assert answered(plan, 1000, {REPORT: 10.0, CLOSED: 1.0}) == [REPORT, CLOSED, REPORT]


def test_once_time_is_short_the_quickest_are_answered_first() -> None:
    plan = [batch(CLOSED), *[batch(REPORT)] * 5, *[batch(CLOSED)] * 5]
    order = answered(plan, 64, {REPORT: 10.0, CLOSED: 1.0})
    assert order.count(CLOSED) == 6, "all questions with options are answered"
    assert 20 * order.count(REPORT) + 2 * order.count(CLOSED) <= 62, "and the run ends in time"
    assert order.count(REPORT) == 2


def test_what_probably_follows_is_known_so_that_its_images_can_be_prepared() -> None:
    plan = [batch(REPORT), batch(CLOSED), batch(REPORT)]
    assert list(in_time(plan, TimeLimit(None))) == [(plan[0], plan[1]), (plan[1], plan[2]), (plan[2], None)]


def test_nothing_is_begun_after_the_end() -> None:
    assert answered([batch(CLOSED)], 1, {CLOSED: 1.0}) == [], "two seconds are kept for writing"
    assert answered([batch(CLOSED)] * 9, 10, {CLOSED: 3.0}) == [CLOSED]


def test_time_is_kept_for_writing_many_answers() -> None:
    assert TimeLimit(60, answers=8000, clock=Clock()).left == 50
