"""The rewards one by one: what is true earns all of it, what is nearer never less."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.tasks import TASKS, TaskType
from mevlip_training.grpo import rewards
from mevlip_training.grpo.rewards import all_rewards, rewards_of
from mevlip_training.grpo.rewards.base import CREDIT
from mevlip_training.grpo.rewards.overlap import giou
from mevlip_training.grpo.scoring import Rewards
from mevlip_validation.box_matching import iou
from mevlip_validation.targets import write_target
from tests.training.grpo.cases import (
    BOXES,
    COUNTED,
    INSTANCES,
    LABELED,
    LABELS,
    LETTERED,
    MEASURED,
    REPORTED,
    SIZE,
    Case,
    boxes,
)


def accuracy(case: Case, text: str, truth: str | None = None) -> float:
    """What a completion earns beside its format."""
    [reward] = [reward for reward in rewards_of(case.task) if reward.name != "format"]
    return reward.compute(case.spec, text, truth or case.truth)


def form(case: Case, text: str) -> float:
    [reward] = [reward for reward in rewards_of(case.task) if reward.name == "format"]
    return reward.compute(case.spec, text, case.truth)


def test_every_task_has_its_form_and_one_reward_more() -> None:
    names = {task: [reward.name for reward in rewards_of(task)] for task in TASKS}
    assert all("format" in found and len(found) == 2 for found in names.values()), names
    assert all(reward.about and reward.formula and reward.weight > 0 for reward in all_rewards())


PLANTED = """
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded

REWARDS = (
    Reward("parity", "even or odd", "1 or 0", (TaskType.COUNTING,), 1, graded(TaskType.COUNTING, lambda true, said:
           float(true.value % 2 == said.value % 2))),
)
"""


def test_a_further_reward_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_parity.py").write_text(PLANTED, "utf-8")
    monkeypatch.setattr(rewards, "__path__", [*rewards.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mevlip_training.grpo.rewards.planted_parity", raising=False)
    all_rewards.cache_clear()
    rewards_of.cache_clear()
    try:
        scored = Rewards(TaskType.COUNTING).score(COUNTED.spec, "117", "115")
    finally:
        all_rewards.cache_clear()
        rewards_of.cache_clear()
    assert list(scored.parts) == ["count", "format", "parity"] and scored.parts["parity"] == 1


def test_a_task_without_a_reward_is_named_with_the_place_for_one() -> None:
    with pytest.raises(LookupError, match=r"outline has no reward: add a file to mevlip_training/grpo/rewards"):
        rewards_of(TaskType.register("outline"))


@pytest.mark.parametrize(
    ("case", "text", "earned"),
    [
        (LETTERED, "B", 1),
        (LETTERED, " B\n", 1),
        (LETTERED, "B: Glaucoma", 0.5),
        (LETTERED, "The answer is B.", 0.5),
        (LETTERED, "It may be A, it may be B.", 0),
        (LETTERED, "I cannot tell from this image.", 0),
        (LETTERED, "E", 0),
        (COUNTED, "12", 1),
        (COUNTED, "12 cells", 0.5),
        (COUNTED, "many", 0),
        (BOXES, "[[1, 2, 3, 4]]", 1),
        (BOXES, "[1, 2, 3, 4]", 0.5),
        (INSTANCES, '{"1": [[1, 2, 3, 4]]', 0.5),
        (LABELED, LABELS[1], 1),
        (LABELED, LABELS[1].lower() + ".", 0.5),
        (REPORTED, "Clear.", 1),
        (REPORTED, "Report: Clear.\nI hope this helps", 0.5),
    ],
)
def test_form_is_worth_what_the_readers_say(case: Case, text: str, earned: float) -> None:
    assert form(case, text) == earned


def test_a_repaired_answer_earns_nothing() -> None:
    assert CREDIT["repaired"] == CREDIT["fallback"] == 0 < CREDIT["tolerant"] < CREDIT["strict"] == 1


def test_the_right_option_earns_all_and_half_of_it_in_other_words() -> None:
    assert [accuracy(LETTERED, text) for text in ("B", "A", "B: Glaucoma", "Glaucoma", "")] == [1, 0, 0.5, 0.5, 0]


def test_an_open_question_wants_the_true_word_in_any_case() -> None:
    case = Case(TaskType.CLASSIFICATION, QuestionSpec("Name the subtype."), "Luminal b")
    assert [accuracy(case, text) for text in ("Luminal b", "luminal B", "Luminal")] == [1, 1, 0]


@given(st.sets(st.sampled_from(LABELS), min_size=1), st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
def test_one_more_right_label_never_earns_less_and_a_wrong_one_less(true: set[str], said: list[str]) -> None:
    def earned(labels: Sequence[str]) -> float:
        return accuracy(LABELED, "; ".join(labels), "; ".join(sorted(true, key=LABELS.index)))

    for label in LABELS:
        if label not in said:
            more = earned([*said, label])
            assert more > earned(said) if label in true else more <= earned(said)


def boxed(found: list[list[int]], case: Case = BOXES) -> str:
    return write_target(TaskType.DETECTION, found, case.spec)


@given(boxes(), st.integers(-1, 1), st.integers(-1, 1), st.lists(st.integers(0, 200), min_size=2, max_size=2))
def test_a_box_shifted_further_never_earns_more(box: list[int], across: int, down: int, steps: list[int]) -> None:
    assume(across or down)
    case = BOXES._replace(
        spec=QuestionSpec(BOXES.spec.question, (1200, 1200)), truth=json.dumps([shift(box, 250, 250)])
    )
    near, far = sorted(steps)
    texts = [json.dumps([shift(box, 250 + across * step, 250 + down * step)]) for step in (near, far)]
    first, second = (accuracy(case, text) for text in texts)
    assert second <= first + 1e-12


def shift(box: list[int], across: int, down: int) -> list[int]:
    return [box[0] + across, box[1] + down, box[2] + across, box[3] + down]


@given(st.lists(boxes((300, 200)), min_size=2, max_size=4, unique_by=tuple), st.data())
def test_one_of_several_boxes_shifted_away_never_earns_more(true: list[list[int]], data: st.DataObject) -> None:
    case = BOXES._replace(spec=QuestionSpec(BOXES.spec.question, SIZE), truth=json.dumps(true))
    place = data.draw(st.integers(0, len(true) - 1))
    moved = [shift(box, 250, 0) if at == place else box for at, box in enumerate(true)]
    assume(len(set(map(tuple, moved))) == len(moved))
    assert accuracy(case, json.dumps(moved)) < accuracy(case, json.dumps(true)) == 1


@given(st.lists(boxes(), min_size=1, max_size=3, unique_by=tuple), boxes())
def test_a_box_too_many_or_too_few_earns_less(true: list[list[int]], more: list[int]) -> None:
    assume(more not in true)
    case = BOXES._replace(spec=QuestionSpec(BOXES.spec.question, SIZE), truth=json.dumps(true))
    assert accuracy(case, json.dumps([*true, more])) < 1
    assert accuracy(case, json.dumps(true[1:])) < 1


def test_no_box_where_there_is_none_earns_all_and_any_box_nothing() -> None:
    case = BOXES._replace(truth="[]")
    assert (accuracy(case, "[]"), accuracy(case, "[[1, 2, 30, 40]]"), accuracy(BOXES, "[]")) == (1, 0, 0)


def test_boxes_are_judged_by_f1_at_one_half_and_by_how_near_they_lie() -> None:
    case = BOXES._replace(spec=QuestionSpec(BOXES.spec.question, SIZE), truth="[[0, 0, 100, 100]]")
    assert accuracy(case, "[[0, 0, 100, 50]]") == pytest.approx((1 + 0.75) / 2)
    assert accuracy(case, "[[0, 0, 100, 49]]") == pytest.approx((0 + 0.745) / 2)
    near, far = accuracy(case, "[[110, 0, 210, 100]]"), accuracy(case, "[[500, 0, 600, 100]]")
    assert 0 < far < near < 0.25
    assert accuracy(case, "[[0, 0, 640, 480]]") < 0.3, "a box over the whole picture earns little"


@given(boxes(), boxes())
@example([0, 0, 1, 1], [639, 479, 640, 480])
def test_giou_is_the_published_one(first: list[int], second: list[int]) -> None:
    one, other = tuple(map(float, first)), tuple(map(float, second))
    left, right = min(one[0], other[0]), max(one[2], other[2])
    top, bottom = min(one[1], other[1]), max(one[3], other[3])
    width, height = (max(0.0, min(one[2 + i], other[2 + i]) - max(one[i], other[i])) for i in (0, 1))
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - width * height
    hull = (right - left) * (bottom - top)
    assert giou(one, other) == pytest.approx(iou(one, other) - (hull - union) / hull, abs=1e-9)
    assert -1 < giou(one, other) <= 1 and giou(one, one) == 1


def test_boxes_of_another_identity_earn_little() -> None:
    true = json.loads(INSTANCES.truth)
    case = INSTANCES._replace(spec=QuestionSpec(INSTANCES.spec.question, SIZE))
    swapped = {"1": true["1"], "2": true["X"], "X": true["2"]}
    strangers = {"7": true["1"], "8": true["2"], "9": true["X"]}
    assert accuracy(case, json.dumps(true)) == 1
    assert 0.5 < accuracy(case, json.dumps(swapped)) < 0.8
    assert accuracy(case, json.dumps(strangers)) == 0


def test_an_empty_identity_matches_nothing() -> None:
    true = json.loads(INSTANCES.truth)
    case = INSTANCES._replace(spec=QuestionSpec(INSTANCES.spec.question, SIZE))
    assert accuracy(case, json.dumps({"": [box for found in true.values() for box in found]})) == 0


@pytest.mark.parametrize(("case", "scale"), [(COUNTED, 53), (MEASURED, 27.8)])
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_a_nearer_number_never_earns_less(case: Case, scale: float, first: int, second: int) -> None:
    true = round(float(case.truth), 1)
    earned = [accuracy(case, str(value)) for value in sorted((first, second), key=lambda value: abs(value - true))]
    assert 1 >= earned[0] >= earned[1] >= 0
    assert earned[0] == pytest.approx(math.exp(-min(abs(first - true), abs(second - true)) / scale))


def test_a_report_earns_by_its_words_and_their_order() -> None:
    texts = (
        REPORTED.truth,
        "No focal consolidation. No pneumothorax.",
        "No pneumothorax. No large pleural effusion. No focal consolidation.",
        "Bony structures are intact.",
    )
    earned = [accuracy(REPORTED, text) for text in texts]
    assert 1 == earned[0] > earned[1] > earned[2] > earned[3] == 0


def test_a_report_without_words_that_rouge_knows_earns_all_for_itself() -> None:
    case = REPORTED._replace(truth="肺部清晰。")
    assert (accuracy(case, "肺部清晰。"), accuracy(case, "心脏正常。")) == (1, 0)
