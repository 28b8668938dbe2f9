from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.questions import Question
from mevlip.tasks import TaskType
from mevlip_training.data import mixing
from mevlip_training.data.mixing import balanced, raised_sizes
from mevlip_training.data.records import Example
from mevlip_training.recipes.recipe import Balance, Donor, LeaveOut
from tests.conftest import FLARE_DATA, needs_flare_data

ROWS = st.lists(st.tuples(st.sampled_from("ABCDE"), st.integers(0, 99)), max_size=60)
BALANCES = st.builds(
    Balance, rows=st.integers(1, 40) | st.just("largest"), times=st.integers(1, 9) | st.none(), by=st.just("answer")
)


def example(task: TaskType, category: str, dataset: str) -> Example:
    return Example(Question.given_as("?"), "1", task, "training", category, dataset)


def group(row: tuple[str, int]) -> str:
    return row[0]


@given(ROWS, BALANCES)
def test_every_group_below_the_goal_reaches_it_as_far_as_its_limit_allows(
    rows: list[tuple[str, int]], balance: Balance
) -> None:
    before, after = Counter(map(group, rows)), Counter(map(group, balanced(rows, group, balance)))
    goal = max(before.values(), default=0) if balance.rows == "largest" else balance.rows
    assert set(before) == set(after)
    for name, size in before.items():
        wanted = goal if balance.times is None else min(balance.times * size, goal)
        assert after[name] == (wanted if size < goal else size)
        assert after[name] >= size


@given(ROWS, BALANCES)
def test_nothing_is_invented_the_order_stays_and_copies_differ_by_one_at_most(
    rows: list[tuple[str, int]], balance: Balance
) -> None:
    numbered = [(letter, index) for index, (letter, _) in enumerate(rows)]
    made = list(balanced(numbered, group, balance))
    assert made == list(balanced(numbered, group, balance))
    assert made == sorted(made, key=numbered.index)
    times = Counter(made)
    assert set(times) == set(numbered)
    for name in {group(row) for row in numbered}:
        copies = [times[row] for row in numbered if group(row) == name]
        assert copies == sorted(copies, reverse=True) and copies[0] - copies[-1] <= 1


def test_the_published_rule_raises_a_group_to_six_times_its_size_or_to_250() -> None:
    balance = Balance(rows=250, times=6)
    assert raised_sizes(Counter(a=1, b=41, c=42, d=249, e=250, f=900), balance) == {
        "a": 6, "b": 246, "c": 250, "d": 250, "e": 250, "f": 900,
    }  # fmt: skip


@given(st.lists(st.integers(), max_size=50, unique=True), st.integers(1, 60) | st.floats(0.01, 1))
def test_a_donor_gives_the_number_or_share_asked_for_in_order_and_never_a_row_twice(
    rows: list[int], size: float
) -> None:
    donor = (
        Donor(task=TaskType.COUNTING, rows=size) if isinstance(size, int) else Donor(task=TaskType.COUNTING, share=size)
    )
    made = mixing.given(rows, donor)
    wanted = min(size, len(rows)) if isinstance(size, int) else max(round(len(rows) * size), 1 if rows else 0)
    assert len(made) == len(set(made)) == wanted
    assert made == [row for row in rows if row in made]


def test_rows_are_left_out_and_given_by_task_modality_or_dataset() -> None:
    one = example(TaskType.COUNTING, "microscopy", "cells")
    for rule in (
        LeaveOut(tasks=(TaskType.COUNTING,)),
        LeaveOut(modalities=("Microscopy",)),
        LeaveOut(datasets=("cells",)),
    ):
        assert mixing.is_left_out(one, rule)
        assert not mixing.is_left_out(example(TaskType.REGRESSION, "Xray", "bones"), rule)
    assert mixing.gives(one, Donor(task=TaskType.COUNTING, rows=1))
    assert mixing.gives(one, Donor(task=TaskType.COUNTING, rows=1, datasets=("cells",)))
    assert not mixing.gives(one, Donor(task=TaskType.COUNTING, rows=1, datasets=("other",)))
    assert not mixing.gives(one, Donor(task=TaskType.REGRESSION, rows=1))


@needs_flare_data
def test_the_published_rule_on_the_challenges_own_answers() -> None:
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["TaskType"] == "classification"]

    def answer(row: dict[str, str]) -> tuple[str, str]:
        return row["dataset"], row["Answer"]

    before = Counter(map(answer, rows))
    after = Counter(map(answer, balanced(rows, answer, Balance(rows=250))))
    assert min(before.values()) < 250 < max(before.values())  # both cases are there
    assert after == {name: size if size >= 250 else min(6 * size, 250) for name, size in before.items()}
