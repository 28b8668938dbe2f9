"""Closed questions come before open ones, in a seeded order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip_training.grpo.curriculum import closed_first

LETTERED = QuestionSpec("Which? A: This, B: That")
LISTED = QuestionSpec("Is it broken?")
OPEN = QuestionSpec("Name the subtype.")
KINDS = (LETTERED, LISTED, OPEN)


@given(st.lists(st.sampled_from(KINDS), max_size=40), st.integers(0, 5))
def test_each_question_comes_once_closed_ones_first(specs: list[QuestionSpec], seed: int) -> None:
    order = closed_first(specs, seed)
    assert sorted(order) == list(range(len(specs)))
    assert [KINDS.index(specs[place]) for place in order] == sorted(map(KINDS.index, specs))
    assert order == closed_first(specs, seed)


def test_the_seed_decides_the_order_within_a_kind() -> None:
    assert len({tuple(closed_first([LETTERED] * 20 + [OPEN] * 20, seed)) for seed in range(5)}) == 5
