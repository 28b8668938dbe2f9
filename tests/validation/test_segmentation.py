from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, jaccard_score

from mevlip.core.errors import InputError
from mevlip_validation.defaults import CLEAN
from mevlip_validation.perturbations.masks import Labels, place_of, write_labels
from mevlip_validation.segmentation import ALL, Overlap, by_level, drops, measure, overlap, render, write_all
from tests.conftest import call_mevlip
from tests.validation.perturbations.test_masks import folders

EMPTY = np.zeros((4, 5), dtype=np.int32)
masks = arrays(np.int32, (4, 5), elements=st.integers(0, 3))


def corner(rows: int, columns: int, label: int = 1) -> Labels:
    """A mask of a rectangle in the upper left corner."""
    made = EMPTY.copy()
    made[:rows, :columns] = label
    return made


@given(masks, masks)
def test_overlaps_are_those_of_scikit_learn(truth: Labels, predicted: Labels) -> None:
    found = overlap(truth, predicted)
    classes = [one for one in np.union1d(truth, predicted) if one > 0]
    if not classes:
        assert found == (1, 1)
        return
    flat = (truth.ravel(), predicted.ravel())
    options = {"labels": classes, "average": "macro", "zero_division": 0}
    assert found.iou == pytest.approx(jaccard_score(*flat, **options))
    assert found.dice == pytest.approx(f1_score(*flat, **options))
    assert overlap(predicted, truth) == pytest.approx(found)


@given(masks)
def test_a_mask_agrees_with_itself(truth: Labels) -> None:
    assert overlap(truth, truth) == (1, 1)


def test_an_empty_mask_agrees_with_an_empty_one_alone() -> None:
    assert overlap(EMPTY, EMPTY) == (1, 1)
    assert overlap(EMPTY, corner(2, 2)) == overlap(corner(2, 2), EMPTY) == (0, 0)
    assert overlap(corner(2, 2), corner(2, 4)) == pytest.approx((4 / 8, 8 / 12))


def test_drops_are_those_computed_by_hand() -> None:
    found = {
        (CLEAN, 0): {"a": Overlap(0.9, 0.95), "b": Overlap(0.7, 0.8), "c": Overlap(0.5, 0.6)},
        ("jpeg", 1): {"a": Overlap(0.8, 0.9), "b": Overlap(0.7, 0.8)},
        ("jpeg", 2): {"a": Overlap(0.4, 0.5), "b": Overlap(0.5, 0.6), "c": Overlap(0.1, 0.2)},
        ("rotation", 1): {"a": Overlap(0.2, 0.3), "b": Overlap(0.1, 0.2), "c": Overlap(0.0, 0.0)},
        ("rotation", 2): {},
        ("ghosting", 1): {},
    }
    made = drops(found)
    assert [(one.perturbation, one.level, one.images) for one in made] == [
        (CLEAN, 0, 3), ("rotation", 1, 3), ("jpeg", ALL, 2), ("jpeg", 1, 2), ("jpeg", 2, 3),
    ]  # fmt: skip
    assert [one.iou_drop.value for one in made] == pytest.approx([0, 0.6, 0.2, 0.05, 1.1 / 3])
    assert made[1].dice_drop.value == pytest.approx((0.65 + 0.6 + 0.6) / 3)
    assert made[0].iou.value == pytest.approx(0.7) and made[1].iou_drop.low < 0.6 < made[1].iou_drop.high
    assert list(by_level(made)) == [
        (1, 2, pytest.approx(0.325), pytest.approx((0.025 + 1.85 / 3) / 2)),
        (2, 1, pytest.approx(1.1 / 3), pytest.approx((0.45 + 0.2 + 0.4) / 3)),
    ]
    lines = render(made).splitlines()
    assert lines[3].split()[:2] == ["1", "rotation"] and lines[4].split()[:2] == ["2", "jpeg"]
    assert lines[4].endswith("+0.050  +0.367  -   -   -")


def tree(root: Path, condition: tuple[str, int], **labels: Labels) -> Path:
    for stem, one in labels.items():
        write_labels(place_of(root, *condition, "masks") / f"{stem}.png", one)
    return root


def test_missing_extra_and_unequal_masks_are_named_and_cost_the_others_nothing(tmp_path: Path) -> None:
    conditions = [(CLEAN, 0), ("jpeg", 1), ("jpeg", 2)]
    truth, predicted = tmp_path / "t", tmp_path / "p"
    for condition in conditions:
        tree(truth, condition, a=corner(2, 2), b=corner(3, 3), c=EMPTY)
    tree(predicted, (CLEAN, 0), a=corner(2, 2), b=corner(3, 3), c=EMPTY)
    tree(predicted, ("jpeg", 1), a=corner(2, 4), b=np.ones((9, 9), dtype=np.int32), d=EMPTY)
    found, problems = measure(truth, predicted, conditions, ["a", "b", "c"])
    assert found[CLEAN, 0] == {"a": (1, 1), "b": (1, 1), "c": (1, 1)}
    assert found["jpeg", 1] == {"a": pytest.approx((0.5, 2 / 3))} and found["jpeg", 2] == {}
    assert [line.removeprefix(str(predicted)) for line in problems] == [
        "/jpeg/1/masks/d.png: no such picture; left out",
        "/jpeg/1/masks/b.png: is 9 x 9 pixels, where 5 x 4 are wanted",
        "/jpeg/1/masks/c: is missing; this image is left out here",
        "/jpeg/2/masks: is missing; nothing is scored here",
    ]


def test_other_numbers_for_the_same_and_clean_masks_that_are_missing_are_refused(tmp_path: Path) -> None:
    truth = tree(tmp_path / "t", (CLEAN, 0), a=corner(2, 2, 255))
    predicted = tree(tmp_path / "p", (CLEAN, 0), a=corner(2, 2))
    with pytest.raises(InputError, match="its masks hold the labels 1, the true ones 255. Write the same numbers"):
        measure(truth, predicted, [(CLEAN, 0)], ["a"])
    with pytest.raises(InputError, match="has no mask of a clean picture that can be used. Predict masks of the clean"):
        measure(truth, tmp_path, [(CLEAN, 0)], ["a"])


def test_the_command_writes_a_tree_and_scores_another(tmp_path: Path) -> None:
    images, true = folders(tmp_path, "a", "b")
    (images / "c.png").write_text("no picture")
    out, predicted = tmp_path / "out", tmp_path / "predicted"
    command = ("robust", "masks", images, true, "--perturbation", "translation", "--out", out, "--quiet")
    done = call_mevlip(*command)
    assert done.exit_code == 0, done.output
    assert "2 pictures with their masks, 1 perturbations at 5 levels" in done.output
    assert f"{images}/c.png: has no mask" in done.output
    shutil.copytree(out, predicted)
    for level in range(1, 6):  # a program that does not see that anything moved
        shutil.copytree(
            place_of(out, CLEAN, 0, "masks"), place_of(predicted, "translation", level, "masks"), dirs_exist_ok=True
        )
    done = call_mevlip(*command, "--predicted", predicted)
    assert done.exit_code == 0, done.output
    content = json.loads((out / "masks.json").read_text())
    assert content["drops"][0]["iou"]["value"] == 1
    by_hand = list(csv.DictReader((out / "overlaps.csv").open()))
    level5 = [float(row["iou"]) for row in by_hand if row["perturbation"] == "translation" and row["level"] == "5"]
    [drop] = [one for one in content["drops"] if one["level"] == 5]
    assert drop["iou_drop"]["value"] == pytest.approx(1 - sum(level5) / 2, abs=1e-6) and drop["iou_drop"]["value"] > 0.2
    assert len(content["problems"]) == 1 and len(list(csv.reader((out / "drops.csv").open()))) == 1 + 1 + 6
    assert call_mevlip(*command[:4], "--perturbation", "fog", "--out", out).exit_code == 2


def test_writing_names_each_image_under_each_condition(tmp_path: Path) -> None:
    found = {(CLEAN, 0): {"a": Overlap(1, 1), "b": Overlap(1, 1)}, ("jpeg", 1): {"a": Overlap(0.5, 0.6)}}
    write_all(drops(found), found, ["x: is missing"], tmp_path)
    assert [line.split(",")[:3] for line in (tmp_path / "overlaps.csv").read_text().splitlines()] == [
        ["perturbation", "level", "image"], ["clean", "0", "a"], ["clean", "0", "b"], ["jpeg", "1", "a"],
    ]  # fmt: skip
    assert json.loads((tmp_path / "masks.json").read_text())["problems"] == ["x: is missing"]
