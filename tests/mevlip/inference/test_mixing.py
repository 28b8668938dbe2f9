"""Adapters mixed by how much they disagree: the formula."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints.routes import Mix
from mevlip.inference.mixing import divergence, share

numbers = st.lists(st.floats(-30, 30), min_size=2, max_size=9)


@given(numbers)
def test_equal_distributions_do_not_diverge(logits: list[float]) -> None:
    one = torch.tensor([logits])
    assert divergence(one, one).tolist() == [0]
    assert share(one, one, Mix()).tolist() == [0.5]


@given(numbers, numbers)
def test_the_divergence_is_that_of_its_definition(first: list[float], second: list[float]) -> None:
    size = min(len(first), len(second))
    one, other = torch.tensor([first[:size]]), torch.tensor([second[:size]])
    p, q = (logits[0].double().softmax(-1).tolist() for logits in (one, other))
    halves = [sum(a * math.log(2 * a / (a + b)) for a, b in zip(x, y, strict=True)) for x, y in ((p, q), (q, p))]
    [found] = divergence(one, other).tolist()
    assert found == pytest.approx(sum(halves) / 2, abs=1e-5)
    assert 0 <= found <= math.log(2) + 1e-6
    assert divergence(other, one).tolist() == pytest.approx([found], abs=1e-6)


def test_distributions_without_a_token_in_common_are_ln_2_apart() -> None:
    one, other = torch.tensor([[500.0, 0.0, -500.0]]), torch.tensor([[-500.0, 0.0, 500.0]])
    assert divergence(one, other).item() == pytest.approx(math.log(2))
    assert share(one, other, Mix()).item() == pytest.approx(0.5858, abs=1e-4)


@given(st.floats(0, 0.5), st.floats(0.5, 1), st.floats(0, 100))
def test_the_share_grows_with_the_divergence_between_its_ends(least: float, most: float, gamma: float) -> None:
    mix = Mix(least=least, most=most, gamma=gamma)
    one = torch.zeros(8, 2)
    other = torch.stack([torch.linspace(0, 12, 8), torch.zeros(8)], dim=1)  # further away row by row
    found = share(one, other, mix).tolist()
    assert found == sorted(found)
    assert found[0] == pytest.approx((least + most) / 2) and found[-1] <= most + 1e-6
