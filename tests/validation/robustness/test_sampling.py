from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from mevlip.core.errors import InputError
from mevlip.tasks import TaskType
from mevlip_validation.ablation import read_folders
from mevlip_validation.perturbations.registry import Modality, find
from mevlip_validation.robustness.sampling import draw_sample
from tests.conftest import EXAMPLES
from tests.validation.robustness.stubs import BOXES, evenly_lit, sample_of, with_box, write_folder, write_set


def places(root: Path, size: int, seed: int = 1) -> list[str]:
    return [item.row.place for item in sample_of(root, size, seed).items]


def test_every_task_and_data_set_has_its_share() -> None:
    tasks = Counter(item.row.task for item in sample_of(EXAMPLES, 28).items)
    assert set(tasks) == set(TaskType)
    assert max(tasks.values()) - min(tasks.values()) <= 4
    assert {item.row.dataset for item in sample_of(EXAMPLES, 100).items} == {one.name for one in EXAMPLES.glob("*/*")}


def test_questions_about_one_picture_stay_together_and_in_the_folders_order() -> None:
    everything = Counter((item.row.task, item.row.cluster) for item in sample_of(EXAMPLES, 100).items)
    chosen = sample_of(EXAMPLES, 20).items
    assert all(everything[key] == count for key, count in Counter((i.row.task, i.row.cluster) for i in chosen).items())
    assert [item.question.position for item in chosen] == list(range(len(chosen)))
    assert [item.row.place for item in chosen] == [one for one in places(EXAMPLES, 100) if one in places(EXAMPLES, 20)]


@pytest.mark.parametrize("size", [1, 7, 30])
def test_a_sample_is_of_its_seed_and_not_larger_than_asked_for(size: int) -> None:
    assert len(places(EXAMPLES, size)) <= size
    assert places(EXAMPLES, size) == places(EXAMPLES, size)
    assert len({tuple(places(EXAMPLES, size, seed)) for seed in range(5)}) > 1


def test_the_modality_is_that_of_the_record_else_of_the_nearest_folder() -> None:
    found = {(item.row.modality, item.modality) for item in sample_of(EXAMPLES, 100).items}
    assert ("Fundus", Modality.RETINOGRAPHY) in found and ("X-Ray", Modality.XRAY) in found
    assert ("Digital Camera", Modality.CLINICAL) in found


def test_pictures_of_an_unknown_kind_see_base_perturbations_only(tmp_path: Path) -> None:
    write_set(tmp_path / "in", "somewhere/set", BOXES, "[[1, 2, 30, 40]]", [with_box()])
    [item] = sample_of(tmp_path / "in").items
    assert item.modality is None
    assert item.asked.is_reached_by(find("jpeg")) and not item.asked.is_reached_by(find("grid_pattern"))


def test_what_pushes_objects_out_of_the_picture_is_not_for_counting(tmp_path: Path) -> None:
    items = sample_of(write_folder(tmp_path / "in")).items
    reached = {
        name: {i.row.dataset for i in items if i.asked.is_reached_by(find(name))} for name in ("rotation", "scaling")
    }
    assert reached == {"rotation": {"lit", "teeth", "lesions"}, "scaling": {"lit", "teeth", "lesions", "cells"}}
    assert {item.row.dataset for item in items if item.asked.is_round} == {"lesions"}


def test_another_picture_or_truth_is_another_sample(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "in")
    digests = [sample_of(root).digest(), sample_of(root).digest()]
    evenly_lit(77).save(root / "Xray/lit/imagesVal/0.png")
    digests.append(sample_of(root).digest())
    file = root / "Xray/lit/lit_questions_val.json"
    file.write_text(file.read_text().replace('"Answer": "A"', '"Answer": "B"'))
    digests.append(sample_of(root).digest())
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_questions_without_a_truth_are_refused_by_name(tmp_path: Path) -> None:
    root, other = write_folder(tmp_path / "in"), tmp_path / "truth"
    write_set(other, "Xray/else", BOXES, json.dumps([[1, 2, 3, 4]]), [with_box()])
    shutil.rmtree(root / "Xray/teeth")
    shutil.rmtree(root / "Ultrasound")
    with pytest.raises(InputError, match="has a true answer.*--truth"):
        draw_sample(read_folders(root, root, tmp_path)[0], read_folders(other, other, tmp_path)[1])
