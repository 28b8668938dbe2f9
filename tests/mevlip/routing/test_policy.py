from __future__ import annotations

from pathlib import Path

import pytest

from mevlip.flare.questions import Question
from mevlip.inference.batching import plan
from mevlip.routing.policy import route
from mevlip.routing.router import TaskPrediction
from mevlip.tasks import GENERALIST, NO_ADAPTER, TaskType
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
    routed = route(question(), "none", {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}, 0.3)
    assert (routed.adapter, routed.task) == (NO_ADAPTER, TaskType.COUNTING)
    assert [batch.adapter for batch in plan([routed], 4)] == [NO_ADAPTER]


def test_the_generalist_answers_everything_in_the_form_of_its_task() -> None:
    routed = route(question(), "generalist", {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}, 0.3)
    assert (routed.adapter, routed.task) == (GENERALIST, TaskType.COUNTING)
