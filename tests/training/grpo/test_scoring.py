"""All rewards of a completion: bounded, whole for the truth, never raised by anything beside the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.core.text import MAX_ANSWER
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_training.grpo import scoring
from mevlip_training.grpo.scoring import Rewards
from mevlip_validation.targets import TargetError, write_target
from tests.conftest import FLARE_DATA, ROOT, needs_flare_data
from tests.training.grpo.cases import BOXES, CASES, COUNTED, LETTERED, REPORTED, Case, completions, truths

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.task.value)


@given(st.data())
def test_any_completion_earns_from_nothing_to_all(data: st.DataObject) -> None:
    case = data.draw(truths())
    scored = Rewards(case.task).score(case.spec, data.draw(completions(case)), case.truth)
    assert all(0 <= part <= 1 for part in scored.parts.values()) and 0 <= scored.total <= 1


@given(truths())
def test_the_target_of_training_earns_all(case: Case) -> None:
    scored = Rewards(case.task).score(case.spec, write_target(case.task, case.truth, case.spec), case.truth)
    assert set(scored.parts.values()) == {1} and scored.total == 1 and scored.times_truth == 1


def training_rows() -> Iterator[Case]:
    """The rows of the shipped training tree."""
    for file in sorted((ROOT / "examples/training").rglob("*_questions_train.json")):
        for record in json.loads(file.read_text("utf-8")):
            task = parse_task_type(record["TaskType"])
            assert task
            yield Case(task, QuestionSpec(record["Question"], (448, 300), "norm1000"), as_text(record["Answer"]))


def flare_rows() -> Iterator[Case]:
    for line in (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        yield Case(
            TaskType(record["TaskType"]), QuestionSpec(record["Question"], (2000, 2000), "norm1000"), record["Answer"]
        )


def as_text(answer: object) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


def assert_targets_earn_all(rows: Iterator[Case]) -> set[TaskType]:
    seen = set()
    for case in rows:
        try:
            target = write_target(case.task, case.truth, case.spec)
        except TargetError:
            continue
        assert Rewards(case.task).score(case.spec, target, case.truth).total == 1, case
        seen.add(case.task)
    return seen


def test_the_targets_of_the_shipped_training_rows_earn_all() -> None:
    assert assert_targets_earn_all(training_rows()) == set(TASKS)


@needs_flare_data
def test_the_targets_of_real_rows_earn_all() -> None:
    assert len(assert_targets_earn_all(flare_rows())) >= 3


@EVERY_CASE
@pytest.mark.parametrize(
    "text", ["", "   ", "zzz", "\u200b\ud800\ufffd", "[[[[", "I'm sorry, I cannot help.", "-1e999"]
)
def test_nonsense_earns_no_more_than_its_form(case: Case, text: str) -> None:
    scored = Rewards(case.task).score(case.spec, text, case.truth)
    assert all(part == 0 for name, part in scored.parts.items() if name != "format")
    assert scored.total in (0, 0.2) and (scored.total == 0 or case.task is TaskType.REPORT)


@given(st.data())
def test_what_the_strict_reader_refuses_earns_at_most_half(data: st.DataObject) -> None:
    case = data.draw(truths())
    text = data.draw(st.one_of(completions(case), st.text(max_size=60).map(lambda more: f"{case.truth} {more}")))
    scored = Rewards(case.task).score(case.spec, text, case.truth)
    assert scored.parts["format"] == 1 or scored.total <= 0.5


GARBAGE = " Furthermore, the quick brown fox jumps over the lazy dog." * 3


@EVERY_CASE
def test_the_truth_in_a_ramble_earns_at_most_half_and_a_report_as_much_as_its_words(case: Case) -> None:
    target = write_target(case.task, case.truth, case.spec)
    rewards = Rewards(case.task)
    once, twice = (rewards.score(case.spec, target + GARBAGE * times, case.truth).total for times in (1, 4))
    assert twice <= once <= (0.6 if case.task is TaskType.REPORT else 0.5)


@EVERY_CASE
@pytest.mark.parametrize(
    "piece", ["word ", "a", "1", "12 ", "[", "[1,2,3,4],", "B ", "A\n", "\u200b\ud800é", "{}", '"X": ']
)
def test_a_text_of_a_hundred_thousand_characters_is_scored_at_once(case: Case, piece: str) -> None:
    text = (piece * MAX_ANSWER)[:MAX_ANSWER]
    start = time.process_time()
    assert Rewards(case.task).score(case.spec, text, case.truth).total <= 0.5
    assert time.process_time() - start < 5


def test_a_text_too_long_for_an_answer_is_not_read() -> None:
    text = f"{REPORTED.truth} {'a' * MAX_ANSWER}"
    assert Rewards(REPORTED.task).score(REPORTED.spec, text, REPORTED.truth).total == 0


def test_the_total_is_the_weighted_mean_and_weights_can_be_set() -> None:
    scored = Rewards(COUNTED.task).score(COUNTED.spec, "62", "115")
    assert scored.parts == {"format": 1, "count": pytest.approx(0.3679, abs=1e-4)}
    assert scored.total == pytest.approx((1 + 4 * 0.3679) / 5, abs=1e-4)
    alone = Rewards(COUNTED.task, {"format": 0}).score(COUNTED.spec, "62", "115")
    assert alone.total == pytest.approx(0.3679, abs=1e-4) and list(alone.parts) == ["count"]


def test_the_answer_is_what_was_read_in_the_form_of_predictions() -> None:
    rewards = Rewards(BOXES.task)
    assert rewards.score(BOXES.spec, "[[0,0,500,500]]", BOXES.truth).answer == "[[0, 0, 320, 240]]"
    assert rewards.score(BOXES.spec, " none \n", BOXES.truth).answer == "none"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"letters": 1}, r"classification has no reward called 'letters'\. It has format, letter\."),
        ({"format": -1}, r"the weights of classification's rewards are"),
        ({"format": float("nan")}, r"Set numbers from 0"),
        ({"format": 0, "letter": 0}, r"at least one of them above 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rewards(LETTERED.task, weights)


def test_a_missing_package_is_refused_before_anything_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"need rouge_score, which is not installed here.*me-vlip\[train\]"):
        Rewards(TaskType.REPORT)
    Rewards(TaskType.COUNTING)
    Rewards(TaskType.REPORT, {"report": 0})


def test_a_truth_that_cannot_be_taught_is_not_scored() -> None:
    with pytest.raises(TargetError):
        Rewards(LETTERED.task).score(LETTERED.spec, "A", "Z")


def test_nothing_heavy_is_imported_before_a_report_is_scored() -> None:
    modules = ", ".join(f"mevlip_training.grpo.{name}" for name in ("scoring", "monitor", "curriculum", "log"))
    heavy = "{'torch', 'trl', 'transformers', 'rouge_score', 'matplotlib'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(sorted({heavy} & sys.modules.keys()))"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "[]\n"
