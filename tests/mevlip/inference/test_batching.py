from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.questions import Question
from mevlip.inference.batching import plan, split_by_tokens
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


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
def test_parts_keep_order_and_budget(lengths: list[int], most: int) -> None:
    parts = [lengths[part] for part in split_by_tokens(lengths, most)]
    assert [length for part in parts for length in part] == lengths
    for part in parts:
        assert len(part) == 1 or len(part) * max(part) <= most
    for part, after in itertools.pairwise(parts):
        assert (len(part) + 1) * max(*part, after[0]) > most, "no part is smaller than it has to be"
