from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mevlip_validation.attacks.gradient import Method, Tiles, attack

SHAPE = (1, 3, 4, 5)
WEIGHTS = torch.from_numpy(np.random.default_rng(1).normal(size=SHAPE).astype(np.float32))


def picture(seed: int = 0, low: int = 0, high: int = 255) -> Tiles:
    return np.random.default_rng(seed).integers(low, high, SHAPE, dtype=np.uint8, endpoint=True)


def slope(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels * WEIGHTS).sum()


def waves(pixels: torch.Tensor) -> torch.Tensor:
    """Ups and downs that are far narrower than a step."""
    return (pixels * 2).sin().sum() + slope(pixels) / 50


def difference(one: Tiles, other: Tiles) -> NDArray[np.int64]:
    return one.astype(np.int64) - other


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_on_a_slope_both_methods_go_to_the_corner_of_the_ball(method: Method, falling: bool) -> None:
    clean = picture(low=20, high=230)
    found = attack(slope, clean, [8, 2], method=method, iterations=3, falling=falling)
    assert [one.epsilon for one in found] == [0, 2, 8]
    assert (found[0].tiles == clean).all() and found[0].loss == pytest.approx(float(slope(torch.tensor(clean))))
    for one in found[1:]:
        corner = one.epsilon * np.sign(WEIGHTS.numpy()) * (-1 if falling else 1)
        assert (difference(one.tiles, clean) == corner).all()


@given(st.integers(0, 99), st.integers(1, 40), st.integers(3, 15), st.sampled_from(["fgsm", "pgd", "noise"]))
def test_results_stay_within_the_ball_and_are_of_8_bits(seed: int, epsilon: int, steps: int, method: Method) -> None:
    clean = picture(seed)
    for one in attack(waves, clean, [epsilon], method=method, iterations=steps):
        assert one.tiles.dtype == np.uint8 and abs(difference(one.tiles, clean)).max() <= one.epsilon
        assert one.loss == pytest.approx(float(waves(torch.from_numpy(one.tiles).float())), abs=1e-3)


@given(st.integers(0, 99), st.booleans())
def test_the_loss_of_pgd_never_turns_back(seed: int, falling: bool) -> None:
    found = attack(waves, picture(seed), [1, 2, 3, 5, 8], iterations=3, falling=falling)
    losses = [-one.loss if falling else one.loss for one in found]
    assert losses == sorted(losses)


def test_noise_changes_every_value_by_its_whole_strength_and_only_looks_at_the_loss() -> None:
    clean = np.full((1, 3, 64, 64), 100, np.uint8)
    asked: list[bool] = []

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(torch.is_grad_enabled())
        return pixels.mean()

    untouched, four, eight = attack(loss, clean, [4, 8], method="noise")
    assert not any(asked) and len(asked) == 3
    for one in (four, eight):
        change = one.tiles.astype(int) - clean
        assert set(np.unique(change)) == {-one.epsilon, one.epsilon}
        assert abs(change.mean()) < one.epsilon / 20, "as often up as down"
    other = attack(loss, clean, [4], method="noise", random=np.random.default_rng(1))[1]
    assert not np.array_equal(other.tiles, four.tiles) and untouched.epsilon == 0


def test_fgsm_can_turn_back_and_says_so() -> None:
    losses = [one.loss for one in attack(lambda pixels: (pixels / 3).sin().sum(), picture(3), [3, 9], method="fgsm")]
    assert losses != sorted(losses)


def test_the_start_depends_on_the_random_numbers_given_and_on_no_others() -> None:
    def tiles(seed: int) -> Tiles:
        return attack(
            lambda pixels: (pixels / 5).sin().sum(), picture(), [6], iterations=3, random=np.random.default_rng(seed)
        )[1].tiles

    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    first = tiles(0)
    assert (tiles(0) == first).all() and (tiles(1) != first).any()
    after = torch.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
    assert torch.equal(before[0], after[0]) and (before[1] == after[1]).all()
