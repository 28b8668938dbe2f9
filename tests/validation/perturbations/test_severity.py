from __future__ import annotations

from math import exp
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import EnvironmentProblem
from mevlip_validation.perturbations import perturbed
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import Bounds
from mevlip_validation.perturbations.severity import TARGETS, Calibrations, search, ssim
from tests.validation.perturbations.pictures import synthetic

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)


@given(st.floats(0.001, 100), st.floats(0.0001, 1), st.floats(1.5, 1000), st.booleans(), st.booleans())
def test_what_is_flagged_as_reached_is_and_similarity_never_rises(
    steepness: float, weakest: float, span: float, falling: bool, whole: bool
) -> None:
    ends = (weakest, weakest * span)
    if whole:
        ends = (1.0, float(round(1 + span)))
    bounds = Bounds(LEVELS, *(reversed(ends) if falling else ends))
    found = search(lambda one: exp(-steepness * (1 / one if falling else one)), bounds, whole=whole)
    assert [one.reached for one in found] == [
        low <= one.ssim <= high for one, (low, high) in zip(found, TARGETS, strict=True)
    ]
    assert [one.ssim for one in found] == sorted((one.ssim for one in found), reverse=True)
    assert [one.parameter for one in found] == sorted((one.parameter for one in found), reverse=falling)
    assert all(ends[0] <= one.parameter <= ends[1] for one in found)
    if whole:
        assert all(one.parameter == round(one.parameter) for one in found)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_levels_stay_in_order_where_similarity_does_not(similarities: list[float]) -> None:
    found = search(lambda one: similarities[int(one) - 1], Bounds(LEVELS, 20, 1), whole=True)
    assert [one.parameter for one in found] == sorted((one.parameter for one in found), reverse=True)
    assert [one.ssim for one in found] == sorted((one.ssim for one in found), reverse=True)
    for one, (low, high) in zip(found, TARGETS, strict=True):
        assert one.ssim == similarities[int(one.parameter) - 1] and one.reached == (low <= one.ssim <= high)


@given(st.floats(0.5, 2), st.floats(1e-4, 0.01))
def test_what_can_be_reached_is_found(steepness: float, weakest: float) -> None:
    found = search(lambda one: exp(-steepness * one), Bounds(LEVELS, weakest, 10), whole=False)
    assert all(one.reached for one in found)
    assert len({one.parameter for one in found}) == 5, "levels do not collapse"


def test_similarity_is_that_of_absolute_values() -> None:
    clean = np.asarray(synthetic())
    assert ssim(clean, clean) == 1
    darker = (clean * 0.5).astype(np.uint8)
    assert ssim(clean, darker) < 0.8, "a stretch of each picture by itself would hide the difference"


def test_a_calibration_that_is_kept_is_not_searched_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def counted(clean: np.ndarray, other: np.ndarray) -> float:
        measured.append(1)
        return ssim(clean, other)

    monkeypatch.setattr(perturbed, "ssim", counted)
    kept = Calibrations(tmp_path / "new" / "kept.json")
    first = [perturb(synthetic(), "speckle_noise", level, calibrations=kept) for level in (1, 5)]
    searched = len(measured)
    assert searched > 2
    kept.save()
    again = Calibrations(tmp_path / "new" / "kept.json")
    second = [perturb(synthetic(), "speckle_noise", level, calibrations=again) for level in (1, 5)]
    assert len(measured) == searched
    assert first == second
    assert [one.picture.tobytes() for one in first] == [one.picture.tobytes() for one in second]
    perturb(synthetic(seed=1), "speckle_noise", 1, calibrations=again)
    assert len(measured) > searched, "another picture of the same size is calibrated by itself"


@pytest.mark.parametrize("text", ["", "[]", '{"a": [1]}', '{"a": [[1, 2]]}'])
def test_a_damaged_file_of_calibrations_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "kept.json").write_text(text)
    with pytest.raises(EnvironmentProblem, match=r"kept\.json holds no calibrations .* Name another file"):
        Calibrations(tmp_path / "kept.json")
