from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.questions import Question
from mevlip.inference.batching import RoutedQuestion, plan, route
from mevlip.routing.router import TaskPrediction
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, TaskType, adapter_names
from tests.conftest import record


def question(position: int = 0, text: str = "How many?", **fields: object) -> Question:
    return Question(position, "f.json", position, record(text, **fields), Path())


COUNT = TaskPrediction(TaskType.COUNTING, 0.3)


@pytest.mark.parametrize(
    ("confidence", "adapter"), [(0.3, "counting"), (0.2999, GENERALIST), (1.0, "counting"), (0.0, GENERALIST)]
)
def test_the_threshold_itself_is_enough(confidence: float, adapter: str) -> None:
    routed = route(question(), "router", {"How many?": TaskPrediction(TaskType.COUNTING, confidence)}, threshold=0.3)
    assert (routed.adapter, routed.task, routed.confidence) == (adapter, TaskType.COUNTING, confidence)


def test_routing_by_router_ignores_what_the_record_declares() -> None:
    routed = route(question(TaskType="regression", Modality="Ultrasound"), "router", {"How many?": COUNT}, 0.3)
    assert routed.adapter == "counting"


def test_routing_by_declaration_believes_a_known_task_type() -> None:
    routed = route(question(TaskType="Multi-Label classification"), "declared", {}, 0.3)
    assert (routed.task, routed.adapter, routed.confidence) == (TaskType.MULTI_LABEL, "multi_label_classification", 1.0)


def test_routing_by_declaration_asks_the_router_where_nothing_is_declared() -> None:
    assert route(question(TaskType=""), "declared", {"How many?": COUNT}, 0.3).adapter == "counting"


def test_the_base_alone_answers_in_the_form_of_the_likeliest_task() -> None:
    routed = route(question(), "base", {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}, 0.3)
    assert (routed.adapter, routed.task) == (NO_ADAPTER, TaskType.COUNTING)
    assert [batch.adapter for batch in plan([routed], 4)] == [NO_ADAPTER]


def test_the_generalist_answers_everything_in_the_form_of_its_task() -> None:
    routed = route(question(), "generalist", {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}, 0.3)
    assert (routed.adapter, routed.task) == (GENERALIST, TaskType.COUNTING)


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
