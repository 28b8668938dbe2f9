from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TaskType
from mevlip_training.bench.questions import HIDDEN, SIDE, Mix, parts_of, quotas, write_questions
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import EXAMPLES

MIXES: tuple[Mix, ...] = ("hidden", "one", "six")


def test_the_hidden_mix_has_the_hidden_sets_questions_and_pictures() -> None:
    tasks = {dataset.name: dataset.task for dataset in DATASETS}
    by_task: Counter[TaskType] = Counter()
    for part in HIDDEN:
        assert sum(asked * number for asked, number in part.pictures.items()) == part.questions
        by_task[tasks[part.dataset]] += part.questions
    assert by_task == {
        TaskType.CLASSIFICATION: 1126,
        TaskType.MULTI_LABEL: 477,
        TaskType.DETECTION: 80,
        TaskType.INSTANCE_DETECTION: 176,
        TaskType.REGRESSION: 100,
    }
    assert by_task.total() == 1959
    assert sum(sum(part.pictures.values()) for part in HIDDEN) == 1025


@pytest.mark.parametrize("mix", ["one", "six"])
def test_the_other_mixes_have_all_seven_tasks(mix: Mix) -> None:
    tasks = {dataset.name: dataset.task for dataset in DATASETS}
    assert {tasks[part.dataset] for part in parts_of(mix)} == set(TaskType)


@pytest.mark.parametrize("mix", MIXES)
def test_each_data_set_shows_one_picture_and_has_wordings_enough(mix: Mix) -> None:
    sets = {dataset.name: dataset for dataset in DATASETS}
    for part in parts_of(mix):
        assert len(set(sets[part.dataset].wordings)) >= max(part.pictures)
        assert part.dataset not in ("skin_tint", "breast_views"), "which show several"


@given(st.sampled_from(MIXES), st.integers(1, 5000))
def test_any_number_is_split_without_a_rest(mix: Mix, questions: int) -> None:
    parts = parts_of(mix)
    shares = quotas(parts, questions)
    assert sum(shares) == questions
    assert min(shares) >= int(questions >= len(parts))


def test_the_examples_are_those_that_users_have(tmp_path: Path) -> None:
    def asked(folder: Path) -> set[tuple[object, object]]:
        records = (one.record for one in read_input_folder(folder).questions)
        return {(record["Question"], str(record["ImageName"])) for record in records}

    folders = write_questions(tmp_path / "bench", "examples")

    assert set(folders) == set(TaskType)
    assert set().union(*map(asked, folders.values())) == asked(EXAMPLES)


def test_the_mixs_own_number_is_split_in_its_proportions() -> None:
    assert quotas(HIDDEN, 1959) == [part.questions for part in HIDDEN]
    assert quotas(HIDDEN, 2 * 1959) == [2 * part.questions for part in HIDDEN]


@pytest.mark.parametrize(("mix", "each"), [("one", 1), ("six", 6)])
def test_pictures_are_asked_as_often_as_the_mix_says(tmp_path: Path, mix: Mix, each: int) -> None:
    folders = write_questions(tmp_path / "set", mix, 84)
    assert list(folders) == list(TaskType)
    asked: Counter[str] = Counter()
    texts = set()
    for folder in folders.values():
        for question in read_input_folder(folder).questions:
            asked[question.image_names[0]] += 1
            texts.add((question.image_names, question.text))
            assert question.record["Answer"] == ""
    assert asked.total() == len(texts) == 84, "no picture is asked the same twice"
    assert max(asked.values()) == each


def test_a_set_is_the_same_each_time_and_its_pictures_have_a_tiles_size(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_questions(tmp_path / name, "hidden", 12)
    first, second = (
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b")
    )
    assert first == second
    pictures = [name for name in first if name.endswith((".png", ".jpg"))]
    assert all(max(Image.open(tmp_path / "a" / name).size) == SIDE for name in pictures)
    records = [record for name in first if name.endswith(".json") for record in json.loads(first[name])]
    assert len(records) == 12
