from __future__ import annotations

import numpy as np
import pytest

from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.statistics import Aggregate


def test_questions_about_one_image_are_drawn_together() -> None:
    for weights in Bootstrap(["a", "a", "b", "c"], 50).weights():
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 1:].sum(axis=1) == 3).all(), "as many images as there are"


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    statistic = Aggregate(tuple(map(float, range(30))))
    one, same, other = (Bootstrap(range(30), 200, seed).scores(statistic) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(Bootstrap(range(7), 20).weights()))
    monkeypatch.setattr("mevlip_validation.bootstrap._AT_ONCE", 21)
    parts = list(Bootstrap(range(7), 20).weights())
    assert len(parts) > 1 and (np.concatenate(parts) == whole).all()


def test_a_second_statistic_has_the_same_draws() -> None:
    bootstrap = Bootstrap(range(7), 20)
    first = np.concatenate(list(bootstrap.weights()))
    assert (np.concatenate(list(bootstrap.weights())) == first).all()
