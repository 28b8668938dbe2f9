from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import InputError
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import Modality, find, perturbations
from mevlip_validation.perturbations.severity import TARGETS, Calibrations
from tests.validation.perturbations.pictures import REAL, real, synthetic

NAMES = tuple(perturbations())
STEADY = {
    "gaussian_blur", "jpeg", "pixelation", "scaling", "vignette", "defocus", "cupping", "scatter", "under_exposure",
    "over_exposure", "grid_pattern",
}  # fmt: skip
"""Perturbations without random numbers."""
EITHER = {"brightness", "contrast", "rotation", "ct_window_level", "xray_window_level"}
"""Perturbations of which only the direction is random."""
MOVING = {"rotation", "translation", "scan_motion"}
"""Perturbations whose published levels may lie beyond the distance at which two places have anything in common."""
MODALITY = {"ihc": "Microscopy", "retina": "Retinography", "radiograph": "Xray", "ultrasound": "Ultrasound"}


@pytest.mark.parametrize("name", NAMES)
def test_level_zero_is_the_clean_picture(name: str) -> None:
    clean = synthetic()
    done = perturb(clean, name, 0)
    assert done.picture.tobytes() == clean.tobytes()
    assert (done.parameter, done.ssim, done.reached) == (None, 1.0, None)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_changes_at_the_parameter_that_stands_for_nothing(name: str) -> None:
    one = find(name)
    if one.identity is None:
        assert name in ("jpeg", "bubbles")
        return
    values = np.asarray(synthetic())
    changed = one.change(values.astype(np.float32), one.identity, np.random.default_rng(0))
    assert np.array_equal(np.clip(changed, 0, 255).round().astype(np.uint8), values)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides(name: str) -> None:
    def bytes_of(seed: int) -> bytes:
        return perturb(synthetic(), name, 3, seed, mode="table").picture.tobytes()

    assert bytes_of(1) == bytes_of(1)
    others = {bytes_of(seed) for seed in range(10)}
    assert len(others) == 1 if name in STEADY else len(others) == 2 if name in EITHER else len(others) > 2


@given(
    st.sampled_from(NAMES),
    st.integers(16, 40),
    st.integers(16, 40),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 9),
)
def test_the_picture_keeps_size_kind_and_original(
    name: str, width: int, height: int, level: int, gray: bool, seed: int
) -> None:
    clean = synthetic(width, height, gray=gray, seed=seed)
    before = clean.tobytes()
    done = perturb(clean, name, level, seed, mode="table")
    assert (done.picture.mode, done.picture.size) == ("RGB", clean.size)
    assert clean.tobytes() == before
    assert done.boxes.size == clean.size and -1 <= done.ssim <= 1
    if gray and not find(name).color:
        red, green, blue = done.picture.split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shown", ["synthetic", "ihc", "radiograph"])
def test_higher_published_levels_are_never_more_similar(name: str, shown: str) -> None:
    clean = synthetic(96, 80) if shown == "synthetic" else real(shown)
    found = [perturb(clean, name, level, mode="table") for level in range(6)]
    similarities = [one.ssim for one in found]
    rise = max(after - before for before, after in pairwise(similarities))
    assert rise <= (0.03 if name in MOVING else 0)
    assert [one.parameter for one in found[1:]] == list(find(name).bounds.levels)
    assert {one.reached for one in found} == {None}


@pytest.mark.parametrize("shown", REAL)
def test_levels_of_similarity_lie_where_they_should_or_say_that_they_do_not(shown: str) -> None:
    kept = Calibrations()
    reached = 0
    for name in NAMES:
        found = [perturb(real(shown), name, level, mode="ssim", calibrations=kept) for level in range(1, 6)]
        assert [one.reached for one in found] == [
            low <= one.ssim <= high for one, (low, high) in zip(found, TARGETS, strict=True)
        ], name
        assert [one.ssim for one in found] == sorted((one.ssim for one in found), reverse=True), name
        parameters = [one.parameter for one, hit in zip(found, found, strict=True) if hit.reached]
        assert len(set(parameters)) == len(parameters), f"{name}: levels collapse"
        reached += len(parameters)
    assert reached > 100


def test_a_series_is_of_one_picture_changed_more_and_more() -> None:
    """Noise of every level has the same shape: only its height differs."""
    clean = np.asarray(synthetic()).astype(float)
    weak, strong = (np.asarray(perturb(synthetic(), "gaussian_noise", n, mode="table").picture) - clean for n in (3, 4))
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("name", "factor"), [("under_exposure", 0.25), ("over_exposure", 1.5)])
def test_exposure_changes_the_mean_by_its_factor(name: str, factor: float) -> None:
    level = find(name).bounds.levels.index(factor) + 1
    mean = np.asarray(synthetic()).mean()
    assert np.asarray(perturb(synthetic(), name, level).picture).mean() == pytest.approx(mean * factor, rel=0.01)


def test_modes_are_the_perturbations_own_unless_one_is_asked_for() -> None:
    table = {one.number for one in perturbations().values() if one.mode == "table"}
    assert table == {6, 7, 10, 11, 12, 13, 18, 19, 27, 33, 35, 37, 38, 40}
    assert perturb(synthetic(), "rotation", 2).parameter == 10
    assert perturb(synthetic(), "rotation", 2, mode="ssim").reached is not None


def test_a_modality_has_perturbations_that_can_be_seen() -> None:
    for shown, modality in MODALITY.items():
        for one in perturbations().values():
            if Modality(modality) in one.modalities:
                assert perturb(real(shown), one, 5, mode="table").picture.tobytes() != real(shown).tobytes(), one.name


def test_what_cannot_be_perturbed_is_refused() -> None:
    with pytest.raises(ValueError, match="level 6 is not 0 to 5"):
        perturb(synthetic(), "jpeg", 6)
    with pytest.raises(LookupError, match="'fog' is not a perturbation"):
        perturb(synthetic(), "fog", 1)
    with pytest.raises(InputError, match=r"15 x 20 pixels\. Enlarge it to 16 x 16"):
        perturb(synthetic(15, 20), "jpeg", 1)
