from __future__ import annotations

import json
from pathlib import Path

import pytest

from mevlip_validation.perturbations.severity import Calibrations
from mevlip_validation.robustness.calibrating import Picture, calibrating
from tests.validation.robustness.stubs import evenly_lit


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    found = []
    for seed in range(3):
        path = tmp_path / f"{seed}.png"
        evenly_lit(seed).save(path)
        found.append(Picture(path, 1, 1 << 20, for_boxes=False))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return [Picture(tmp_path / "bad.png", 1, 1 << 20, for_boxes=False), *found]


def search(path: Path, pictures: list[Picture], workers: int) -> dict[str, list[object]]:
    with calibrating(Calibrations(path), workers, 3, None) as calibrator:
        calibrator.calibrate("gaussian_noise", pictures)
    found: dict[str, list[object]] = json.loads(path.read_text())
    return found


def test_several_processes_find_what_one_does(pictures: list[Picture], tmp_path: Path) -> None:
    alone = search(tmp_path / "alone.json", pictures, 1)
    assert search(tmp_path / "both.json", pictures, 2) == alone and len(alone) == 3


def test_what_is_known_is_not_searched_again(
    pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path / "kept.json", pictures, 1)
    monkeypatch.setattr("mevlip_validation.perturbations.perturbed.search", lambda *_, **__: pytest.fail("searched"))
    assert search(tmp_path / "kept.json", pictures, 1) == found
