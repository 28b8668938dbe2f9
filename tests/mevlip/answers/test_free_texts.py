"""The corpus of free texts: what chatty base models write is read as it is meant, or named as what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from mevlip.answers import QuestionSpec
from mevlip.reading import read_answer
from mevlip.tasks import TaskType
from tests.mevlip.answers.free_texts import (
    classification,
    counting,
    detection,
    instance_detection,
    multi_label,
    regression,
    report,
)
from tests.mevlip.answers.free_texts.case import FALLBACK, JAW, REFUSAL, Case
from tests.mevlip.answers.free_texts.further import FURTHER
from tests.mevlip.answers.free_texts.held_out import HELD_OUT
from tests.mevlip.answers.free_texts.must import MUST

TUNED: dict[TaskType, tuple[Case, ...]] = {
    TaskType.CLASSIFICATION: classification.CASES,
    TaskType.MULTI_LABEL: multi_label.CASES,
    TaskType.DETECTION: detection.CASES,
    TaskType.INSTANCE_DETECTION: instance_detection.CASES,
    TaskType.COUNTING: counting.CASES,
    TaskType.REGRESSION: regression.CASES,
    TaskType.REPORT: report.CASES,
}
"""Texts that were looked at while the reader was changed."""
LEAST = 0.97


def cases(*parts: dict[TaskType, tuple[Case, ...]]) -> Iterator[tuple[TaskType, Case]]:
    for part in parts:
        for task, some in part.items():
            yield from ((task, case) for case in some)


def reading(task: TaskType, case: Case) -> str:
    """How a text is read, in the words of `Case.expected`."""
    outcome = read_answer(task, case.text, case.spec)
    if outcome.stage != "fallback":
        return outcome.text
    return REFUSAL if "refus" in outcome.reason else FALLBACK


def misread(*parts: dict[TaskType, tuple[Case, ...]]) -> list[str]:
    return [
        f"{task}, {case.name}: {found}, not {case.expected}"
        for task, case in cases(*parts)
        if (found := reading(task, case)) != case.expected
    ]


@pytest.mark.parametrize(("task", "case"), [pytest.param(*one, id=f"{one[0]}-{one[1].name}") for one in cases(MUST)])
def test_no_listed_fault_is_left(task: TaskType, case: Case) -> None:
    assert reading(task, case) == case.expected


@pytest.mark.parametrize("task", FURTHER)
def test_further_texts_are_read_as_they_are_meant(task: TaskType) -> None:
    for spec, text, expected in FURTHER[task]:
        assert reading(task, Case("", spec, text, expected)) == expected, text


@pytest.mark.parametrize("text", ["B: Edentulous", "The answer is B: Edentulous.", "Final answer:\n**B) Edentulous**"])
def test_a_letter_that_disagrees_with_its_text_gives_way_and_is_named(text: str) -> None:
    outcome = read_answer(TaskType.CLASSIFICATION, text, JAW)
    assert (outcome.text, outcome.stage, outcome.reason) == ("E", "tolerant", "letter and text disagree")


@pytest.mark.parametrize(
    "text", ["B: Class II (one end free)", "B, as the edentulous area has one free end", "Option B"]
)
def test_a_letter_that_agrees_is_not_remarked_on(text: str) -> None:
    outcome = read_answer(TaskType.CLASSIFICATION, text, JAW)
    assert (outcome.text, outcome.stage) == ("B", "tolerant")
    assert "disagree" not in outcome.reason


@pytest.mark.parametrize("task", TaskType)
def test_a_refusal_is_named_and_becomes_the_fallback(task: TaskType) -> None:
    spec = QuestionSpec("What do you see?") if task is not TaskType.CLASSIFICATION else JAW
    outcome = read_answer(task, "I'm sorry, but I cannot determine this; secret 45.\n1. See a doctor.", spec)
    assert (outcome.stage, outcome.text) == ("fallback", read_answer(task, "", spec).text)
    assert "refus" in outcome.reason and "secret" not in outcome.reason


def test_an_option_that_says_what_a_refusal_says_is_no_refusal() -> None:
    spec = QuestionSpec("Which? A: Mass, B: Cannot be determined from this image")
    assert read_answer(TaskType.CLASSIFICATION, "It cannot be determined from this image.", spec).text == "B"


def test_nearly_every_free_text_is_read_as_it_is_meant() -> None:
    total = sum(1 for _ in cases(TUNED, MUST, HELD_OUT))
    wrong = misread(TUNED, MUST, HELD_OUT)
    assert len(wrong) <= (1 - LEAST) * total, "\n".join(wrong)


def test_the_corpus_is_large_and_covers_every_task() -> None:
    everything = list(cases(TUNED, MUST, HELD_OUT))
    assert len(everything) >= 300
    assert set(TaskType) <= {task for task, _ in everything}
    assert 0.3 <= sum(1 for _ in cases(HELD_OUT)) / len(everything) <= 0.4
    refused = Counter(task for task, case in everything if case.expected == REFUSAL)
    assert set(refused) == set(TaskType), "each task has refusals"
    texts = Counter((task, case.spec.question, case.text) for task, case in everything)
    assert max(texts.values()) == 1, "no text counts twice"
