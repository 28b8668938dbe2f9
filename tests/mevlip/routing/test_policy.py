from __future__ import annotations

from pathlib import Path

import pytest

from mevlip.flare.questions import Question
from mevlip.inference.batching import Budget, Size, plan
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
    assert [batch.adapter for batch in plan([routed], Budget(9, 9), lambda item: Size((), 0, 1, 0))] == [NO_ADAPTER]


def test_the_generalist_answers_everything_in_the_form_of_its_task() -> None:
    routed = route(question(), "generalist", {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}, 0.3)
    assert (routed.adapter, routed.task) == (GENERALIST, TaskType.COUNTING)


LETTERS = "Which class? A: Class I, B: Class II, C: Edentulous"


def test_a_task_that_the_question_excludes_gives_way_and_the_adapter_with_it() -> None:
    for confidence in (0.9, 0.1):
        predicted = {LETTERS: TaskPrediction(TaskType.DETECTION, confidence)}
        routed = route(question(text=LETTERS), "router", predicted, 0.3)
        assert (routed.task, routed.adapter) == (TaskType.CLASSIFICATION, "classification")
        assert (routed.corrected_from, routed.confidence) == (TaskType.DETECTION, confidence)


def test_a_task_that_stands_is_not_called_corrected() -> None:
    routed = route(question(text=LETTERS), "router", {LETTERS: TaskPrediction(TaskType.CLASSIFICATION, 0.1)}, 0.3)
    assert (routed.adapter, routed.corrected_from) == (GENERALIST, None)


def test_a_declared_task_that_the_question_excludes_gives_way_too() -> None:
    routed = route(question(text=LETTERS, TaskType="instance_detection"), "declared", {}, 0.3)
    assert (routed.task, routed.corrected_from) == (TaskType.CLASSIFICATION, TaskType.INSTANCE_DETECTION)


def test_a_task_given_by_hand_is_kept() -> None:
    routed = route(Question.given_as(LETTERS, task=TaskType.COUNTING), "declared", {}, 0.3)
    assert (routed.task, routed.adapter, routed.corrected_from) == (TaskType.COUNTING, "counting", None)


def test_the_generalist_and_the_base_answer_in_the_form_of_the_corrected_task() -> None:
    for routing, adapter in (("generalist", GENERALIST), ("none", NO_ADAPTER)):
        routed = route(question(text=LETTERS), routing, {LETTERS: TaskPrediction(TaskType.REPORT, 0.9)}, 0.3)  # type: ignore[arg-type]
        assert (routed.task, routed.adapter) == (TaskType.CLASSIFICATION, adapter)


def test_a_task_without_an_adapter_of_its_own_is_the_generalists() -> None:
    sure = {"How many?": TaskPrediction(TaskType.COUNTING, 1.0)}
    for routing in ("router", "declared"):
        routed = route(question(TaskType="counting"), routing, sure, 0.3, {GENERALIST, "detection"})
        assert (routed.adapter, routed.task) == (GENERALIST, TaskType.COUNTING)
