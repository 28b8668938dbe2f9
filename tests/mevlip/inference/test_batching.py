from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.questions import Question
from mevlip.inference.batching import plan
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from tests.conftest import record


def question(position: int = 0, text: str = "How many?", **fields: object) -> Question:
    return Question(position, "f.json", position, record(text, **fields), Path())


@given(
    st.lists(st.tuples(st.sampled_from(TaskType), st.booleans(), st.integers(0, 3), st.text(max_size=5)), max_size=40),
    st.integers(1, 5),
)
def test_a_plan_holds_each_question_once_and_each_adapter_in_one_run(
    drawn: list[tuple[TaskType, bool, int, str]], size: int
) -> None:
    items = [
        RoutedQuestion(question(i, text, image=["x"] * images), task, 1.0, TASKS[task].adapter if own else GENERALIST)
        for i, (task, own, images, text) in enumerate(drawn)
    ]
    batches = plan(items, size)
    assert sorted(item.question.position for batch in batches for item in batch.items) == list(range(len(items)))
    for batch in batches:
        assert 1 <= len(batch.items) <= size
        assert {(item.adapter, item.task) for item in batch.items} == {(batch.adapter, batch.task)}
    runs = [batch.adapter for i, batch in enumerate(batches) if i == 0 or batches[i - 1].adapter != batch.adapter]
    assert len(runs) == len(set(runs)) and runs == sorted(runs, key=adapter_names().index)


def test_questions_of_like_cost_are_neighbors() -> None:
    items = [
        RoutedQuestion(question(i, "x" * length, image=["a"] * images), TaskType.COUNTING, 1.0, "counting")
        for i, (length, images) in enumerate([(50, 1), (5, 2), (51, 1), (6, 2), (5, 1)])
    ]
    order = [[item.question.position for item in batch.items] for batch in plan(items, 2)]
    assert order == [[4, 0], [2, 1], [3]]
