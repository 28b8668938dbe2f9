from __future__ import annotations

import itertools
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mevlip.flare.questions import Question
from mevlip.inference.batching import Batch, Budget, Size, plan, split
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from tests.conftest import record

PLENTY = Budget(10**6, 10**6)


def question(position: int = 0, text: str = "How many?", **fields: object) -> Question:
    return Question(position, "f.json", position, record(text, **fields), Path())


def estimate(item: RoutedQuestion) -> Size:
    """Ten tokens for an image, one for a character, and what the task's answers take."""
    pictures = item.question.pictures
    new = 0 if item.task is TaskType.CLASSIFICATION else TASKS[item.task].max_new_tokens
    return Size(pictures, 10 * len(pictures), len(item.question.text), new)


def places(batches: list[Batch]) -> list[list[int]]:
    return [[item.question.position for item in batch.items] for batch in batches]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TaskType), st.booleans(), st.lists(st.sampled_from("abc"), max_size=2), st.text(max_size=5)
        ),
        max_size=40,
    ),
    st.integers(1, 400),
    st.integers(1, 4000),
    st.randoms(),
)
def test_a_plan_holds_each_question_once_and_each_adapter_in_one_run(
    drawn: list[tuple[TaskType, bool, list[str], str]], computed: int, cached: int, order: random.Random
) -> None:
    items = [
        RoutedQuestion(question(i, text, image=images), task, 1.0, TASKS[task].adapter if own else GENERALIST)
        for i, (task, own, images, text) in enumerate(drawn)
    ]
    batches = plan(items, Budget(computed, cached), estimate)
    assert sorted(place for batch in places(batches) for place in batch) == list(range(len(items)))
    for batch in batches:
        assert {item.adapter for item in batch.items} == {batch.adapter}
    runs = [batch.adapter for i, batch in enumerate(batches) if i == 0 or batches[i - 1].adapter != batch.adapter]
    assert len(runs) == len(set(runs)) and runs == sorted(runs, key=adapter_names().index)
    shuffled = items[:]
    order.shuffle(shuffled)
    assert plan(shuffled, Budget(computed, cached), estimate) == batches, "whatever the order in which they come"


@given(st.lists(st.tuples(st.sampled_from(TaskType), st.sampled_from("abcd")), max_size=30))
def test_questions_on_the_same_pictures_stand_together(drawn: list[tuple[TaskType, str]]) -> None:
    """Whatever their tasks are, where one adapter answers all."""
    items = [RoutedQuestion(question(i, image=name), task, 1.0, GENERALIST) for i, (task, name) in enumerate(drawn)]
    [*batches] = plan(items, PLENTY, estimate)
    names = [item.question.image_names for batch in batches for item in batch.items]
    assert sum(one != other for one, other in itertools.pairwise(names)) == max(len(set(names)) - 1, 0)


def test_questions_of_like_kind_are_neighbors() -> None:
    """Those with few images first, and among them those whose answers take little."""
    kinds = [(2, TaskType.REPORT), (1, TaskType.REPORT), (2, TaskType.CLASSIFICATION), (1, TaskType.CLASSIFICATION)]
    items = [
        RoutedQuestion(question(i, image=[f"{i}-{n}" for n in range(count)]), task, 1.0, GENERALIST)
        for i, (count, task) in enumerate(kinds)
    ]
    assert places(plan(items, PLENTY, estimate)) == [[3, 1, 2, 0]]


def test_letters_go_in_large_batches_and_tiles_in_small_ones() -> None:
    budget = Budget(computed=2000, cached=2000)
    letters = [Size(i, 256, 44, 0) for i in range(12)]
    reports = [Size(i, 256, 44, 200) for i in range(12)]
    tiles = [Size(i, 13 * 256, 44, 0) for i in range(3)]
    six = [Size(i // 6, 256, 44, 0) for i in range(12)]
    assert [[len(sizes[part]) for part in split(sizes, budget)] for sizes in (letters, reports, tiles, six)] == [
        [6, 6], [4, 4, 4], [1, 1, 1], [12],
    ]  # fmt: skip


SIZES = st.lists(
    st.builds(Size, st.integers(0, 3), st.integers(0, 50), st.integers(1, 50), st.sampled_from([0, 0, 20, 90])),
    max_size=30,
)


def cost(sizes: list[Size]) -> tuple[int, int]:
    """Tokens that neighbors on the same pictures take together: computed, and cached."""
    computed = sum(
        size.own + (0 if i and sizes[i - 1].pictures == size.pictures else size.shared) for i, size in enumerate(sizes)
    )
    cached = [size.cached for size in sizes if size.cached]
    return computed, len(cached) * max(cached, default=0)


@given(SIZES, st.integers(1, 200), st.integers(1, 400))
def test_parts_keep_order_and_budget_and_are_no_smaller_than_they_have_to_be(
    sizes: list[Size], computed: int, cached: int
) -> None:
    parts = [sizes[part] for part in split(sizes, Budget(computed, cached))]
    assert [size for part in parts for size in part] == sizes

    def fits(part: list[Size]) -> bool:
        took, kept = cost(part)
        return took <= computed and kept <= cached

    assert all(len(part) == 1 or fits(part) for part in parts)
    assert not any(fits([*part, after[0]]) for part, after in itertools.pairwise(parts))


def test_a_halved_budget_never_vanishes() -> None:
    assert Budget(9, 1).halved() == Budget(4, 1)
