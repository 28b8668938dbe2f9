from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_validation.calibration import expected_calibration_error, reliability, wilson_interval


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson_interval(15, 15)
    assert (low, high) == (pytest.approx(15 / (15 + 1.959964**2)), 1.0)
    assert wilson_interval(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12
    assert right / total - 1e-12 <= high <= 1


def test_the_calibration_error_weighs_bins_by_their_counts() -> None:
    bins = reliability(np.array([0.95] * 3 + [0.15]), np.array([True, True, False, False]))
    assert [(one.low, one.count) for one in bins] == [(0.1, 1), (0.9, 3)]
    assert expected_calibration_error(bins) == pytest.approx(0.75 * (0.95 - 2 / 3) + 0.25 * 0.15)


def test_confidences_at_a_bins_edge_have_one_place() -> None:
    bins = reliability(np.array([0.0, 0.1, 1.0]), np.array([True] * 3))
    assert [(one.low, one.count) for one in bins] == [(0.0, 2), (0.9, 1)]
