from __future__ import annotations

import re
from collections import Counter

import pytest

from mevlip_validation.perturbations import registry
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import (
    SLICES,
    Bounds,
    Modality,
    Pixels,
    Random,
    choose,
    find,
    perturbation,
    perturbations,
    perturbations_of,
)
from tests.conftest import EXAMPLES, ROOT
from tests.validation.perturbations.pictures import synthetic

ALL = tuple(perturbations().values())


def test_there_are_twelve_base_perturbations_and_28_of_eight_kinds_of_pictures() -> None:
    assert [one.number for one in ALL] == list(range(1, 41))
    groups = Counter(one.group for one in ALL)
    assert [groups.pop(one) for one in ("noise", "degradation", "geometric")] == [3, 6, 3]
    assert sum(groups.values()) == 28 and len(groups) == 8


@pytest.mark.parametrize(
    ("modality", "numbers"),
    [
        ("Dermatology", {13, 14, 15}),
        ("Endoscopy", {16, 17, 18, 19}),
        ("Ultrasound", {25, 26}),
        ("Microscopy", {23, 27, 28}),
        ("Retinography", {20, 21, 22, 23, 24}),
        ("Xray", {36, 37, 38, 39, 40}),
        ("Mammography", {36, 37, 38, 39, 40}),
        ("Clinical", {14, 19}),
        ("CT", {32, 33, 34, 35}),
        ("MRI", {29, 30, 31}),
    ],
)
def test_a_modality_has_the_base_and_its_own(modality: str, numbers: set[int]) -> None:
    assert {one.number for one in perturbations_of(modality)} == {*range(1, 13), *numbers}


def test_seven_perturbations_need_slices_of_volumes() -> None:
    flat = set(Modality) - SLICES
    assert {one.number for one in ALL if not one.modalities & flat} == set(range(29, 36))


def test_every_folder_of_the_examples_is_a_modality_whatever_its_spelling() -> None:
    for folder in EXAMPLES.iterdir():
        if folder.is_dir():
            assert perturbations_of(folder.name)
    assert perturbations_of("X-ray") == perturbations_of("xray")
    with pytest.raises(LookupError, match="'Angiography' is not a modality.*Ultrasound"):
        perturbations_of("Angiography")


def test_what_is_chosen_is_all_or_a_modality_or_one() -> None:
    assert choose("all") == ALL and choose("ct") == perturbations_of("CT") and choose("jpeg") == (find("jpeg"),)
    with pytest.raises(LookupError, match="'haze' is not a perturbation. Name one of gaussian_noise"):
        choose("haze")


def test_movements_that_push_objects_out_are_not_for_counting() -> None:
    assert {one.name for one in ALL if not one.keeps_counts} == {"rotation", "translation"}


def test_perturbations_of_color_are_reported_apart_where_color_is_the_evidence() -> None:
    assert {one.number for one in ALL if Modality.CLINICAL in one.apart} == {6, 7, 14, 19}
    assert {one.number for one in ALL if Modality.RETINOGRAPHY in one.apart} == {20, 21, 22}
    for one in ALL:
        assert set(one.apart) <= one.modalities


def test_published_levels_are_all_different_and_grow() -> None:
    for one in ALL:
        for bounds in filter(None, (one.bounds, one.box_bounds)):
            falling = bounds.levels[0] > bounds.levels[-1]
            assert list(bounds.levels) == sorted(set(bounds.levels), reverse=falling), one.name
            assert (bounds.weakest > bounds.strongest) == falling and min(bounds.weakest, bounds.strongest) > 0


def test_a_new_perturbation_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registry", dict(perturbations()))
    perturbations.cache_clear()
    try:

        @perturbation(41, "haze", "angiography", "share", Bounds((0.1, 0.2, 0.3, 0.4, 0.5), 0.01, 0.9))
        def haze(pixels: Pixels, parameter: float, random: Random) -> Pixels:
            return pixels + parameter * (255 - pixels)

        assert len(choose("all")) == 41
        done = [perturb(synthetic(), "haze", level) for level in range(1, 6)]
        assert all(one.reached for one in done[:3])
        with pytest.raises(ValueError, match="perturbation 41, fog: its number or name is taken by haze"):
            perturbation(41, "fog", "angiography", "share", find("haze").bounds)(haze)
    finally:
        perturbations.cache_clear()


def test_the_page_lists_every_perturbation_with_its_parameters() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \| [^|]+ \| (\w+) \|$",
        (ROOT / "docs/perturbations.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert rows == [
        (
            str(one.number),
            one.name,
            "all" if one.modalities == registry.ALL else ", ".join(sorted(one.modalities)),
            " ".join(f"{level:g}" for level in one.bounds.levels),
            one.mode,
        )
        for one in ALL
    ]
