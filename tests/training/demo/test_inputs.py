from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from submission.answers import ANSWER_CLASSES, Form
from submission.flare.questions import read_input_folder
from submission.routes import read_route
from submission.tasks import MULTI_TASK, TASKS, TaskType, parse_task_type
from tests.conftest import DEMO, EXAMPLES, FLARE_DATA, needs_flare_data
from training.demo.inputs import write_inputs
from training.demo.pairs import held_out_pairs, training_pairs
from training.demo.scenes import draw_scene
from training.demo.wordings import DATASETS, HELD_OUT, DemoDataset


def test_the_examples_are_what_the_seeded_code_writes(tmp_path: Path) -> None:
    assert write_inputs(tmp_path / "again") == 54
    for path in (tmp_path / "again").rglob("*"):
        committed = EXAMPLES / path.relative_to(tmp_path / "again")
        if path.suffix == ".json":
            assert json.loads(path.read_bytes()) == json.loads(committed.read_bytes())
        elif path.suffix == ".png":
            assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(committed)))
        else:
            assert committed.exists()


def test_the_examples_are_small_and_whole() -> None:
    folder = read_input_folder(EXAMPLES)
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 2e6
    assert {question.declared for question in folder.questions} == set(TaskType)
    assert len({question.file.split("/")[0] for question in folder.questions}) == 8
    assert {len(question.image_names) for question in folder.questions} == {1, 2, 3}
    assert not folder.problems


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_a_scenes_answer_follows_the_grammar_of_its_question(dataset: DemoDataset) -> None:
    seen = set()
    for seed in range(30):
        scene = draw_scene(dataset, random.Random(seed))
        form = Form(dataset.question(dataset.wordings[0], scene.target), scene.images[0].size, "pixel")
        answer = ANSWER_CLASSES[TASKS[dataset.task].answer_type].parse(scene.answer, form)
        assert answer.format() == scene.answer
        seen.add(scene.answer)
    assert len(seen) > 1, "the picture decides the answer"


def test_the_demos_token_budgets_hold_every_answer() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "base", local_files_only=True)
    budgets = read_route(DEMO / "adapters" / MULTI_TASK).max_new_tokens
    for dataset in DATASETS:
        for seed in range(40):
            answer = draw_scene(dataset, random.Random(seed)).answer
            # One more for the end token.
            assert len(tokenizer(answer)["input_ids"]) + 1 <= budgets[dataset.task], (dataset.name, answer)


def test_a_scene_is_drawn_alike_from_the_same_seed() -> None:
    first, second = (draw_scene(DATASETS[0], random.Random(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))


def test_wordings_are_distinct_and_some_are_kept_for_validation() -> None:
    for dataset in DATASETS:
        assert len(set(dataset.wordings)) == len(dataset.wordings) >= 15 + HELD_OUT, dataset.name
        assert parse_task_type(dataset.task_spelling) is dataset.task
    held_out = {
        dataset.question(w, t) for dataset in DATASETS for w in dataset.wordings[-HELD_OUT:] for t in dataset.targets
    }
    trained = {question for question, _ in training_pairs(3000, seed=0)}
    assert not held_out & trained
    assert {task for _, task in held_out_pairs()} == set(TaskType)


@needs_flare_data
def test_no_wording_is_one_of_the_challenges() -> None:
    def plain(text: str) -> str:
        return " ".join(text.lower().split()).strip(" .?")

    real = {plain(json.loads(line)["Question"]) for line in (FLARE_DATA / "questions_with_answers.jsonl").open()}
    for path in (FLARE_DATA / "flare_inputs").rglob("*.json"):
        real |= {plain(one["Question"]) for one in json.loads(path.read_bytes())}
    ours = {plain(wording) for dataset in DATASETS for wording in dataset.wordings}
    ours |= {plain(question) for question, _ in training_pairs(21000, seed=20250)}
    assert not ours & real
