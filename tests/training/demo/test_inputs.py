from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mevlip.answers import QuestionSpec
from mevlip.checkpoints.routes import read_route
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import GENERALIST, TASKS, TaskType, parse_task_type
from mevlip_training.demo.inputs import ANSWERED_PER_DATASET, PER_IMAGE, write_examples, write_inputs, write_training
from mevlip_training.demo.pairs import held_out_pairs, training_pairs
from mevlip_training.demo.plain import MOST_TARGETS, base_turns
from mevlip_training.demo.router import PAIRS, SEED
from mevlip_training.demo.scenes import draw_scene
from mevlip_training.demo.wordings import DATASETS, HELD_OUT, DemoDataset
from mevlip_validation.matching import match, read_truth
from mevlip_validation.targets import write_target
from tests.conftest import DEMO, EXAMPLES, FLARE_DATA, needs_flare_data


@pytest.mark.slow
def test_the_examples_are_what_the_seeded_code_writes(tmp_path: Path) -> None:
    assert write_examples(tmp_path / "again") == 54
    for path in (tmp_path / "again").rglob("*"):
        committed = EXAMPLES.parent / path.relative_to(tmp_path / "again")
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


def test_training_answers_lie_beside_the_examples() -> None:
    rows = match(read_truth(EXAMPLES.parent / "training"), []).rows
    assert set(Counter(row.dataset for row in rows).values()) == {ANSWERED_PER_DATASET}
    assert all(row.parsed_target is not None for row in rows)
    assert {path.suffix for path in (EXAMPLES.parent / "training").rglob("*") if path.is_file()} == {".json"}


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_a_scenes_answer_follows_the_grammar_of_its_question(dataset: DemoDataset) -> None:
    seen = set()
    for seed in range(30):
        scene = draw_scene(dataset, random.Random(seed))
        assert set(scene.answers) <= set(dataset.targets)
        for target, said in scene.answers.items():
            spec = QuestionSpec(dataset.question(dataset.wordings[0], target), scene.images[0].size, "pixel")
            answer = TASKS[dataset.task].answer.parse(said, spec)
            assert answer.format() == said
            seen.add(said)
    assert len(seen) > 1, "the picture decides the answer"


@pytest.mark.slow
def test_the_demos_token_budgets_hold_every_answer() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "base", local_files_only=True)
    budgets = read_route(DEMO / "adapters" / GENERALIST).max_new_tokens
    for dataset in DATASETS:
        for seed in range(40):
            scene = draw_scene(dataset, random.Random(seed))
            for target, answer in scene.answers.items():
                spec = QuestionSpec(dataset.question(dataset.wordings[0], target), scene.images[0].size, "norm1000")
                said = write_target(dataset.task, answer, spec)
                # One more for the end token.
                assert len(tokenizer(said)["input_ids"]) + 1 <= budgets[dataset.task], (dataset.name, said)


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


@pytest.mark.slow
@needs_flare_data
def test_no_wording_is_one_of_the_challenges() -> None:
    def plain(text: str) -> str:
        return " ".join(text.lower().split()).strip(" .?")

    real = {plain(json.loads(line)["Question"]) for line in (FLARE_DATA / "questions_with_answers.jsonl").open()}
    for path in (FLARE_DATA / "flare_inputs").rglob("*.json"):
        real |= {plain(one["Question"]) for one in json.loads(path.read_bytes())}
    ours = {plain(wording) for dataset in DATASETS for wording in dataset.wordings}
    ours |= {plain(question) for question, _ in training_pairs(PAIRS, SEED)}
    assert not ours & real


@pytest.mark.slow
def test_training_and_validation_share_no_wording_and_no_picture(tmp_path: Path) -> None:
    write_training(tmp_path / "train", 1, {dataset.name: 9 for dataset in DATASETS})
    write_inputs(tmp_path / "val", 1, 9)
    trained, validated = (read_input_folder(tmp_path / part).questions for part in ("train", "val"))
    assert len(trained) == len(validated) == 9 * len(DATASETS)
    assert not {question.text for question in trained} & {question.text for question in validated}
    pictures = [{path.read_bytes() for path in (tmp_path / part).rglob("*.png")} for part in ("train", "val")]
    assert not pictures[0] & pictures[1]
    assert all(question.record["Answer"] for question in trained)
    asked = Counter((question.file, str(question.image_names)) for question in trained)
    assert max(asked.values()) == PER_IMAGE, "several questions are asked about one picture"


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_the_base_never_meets_what_the_adapters_have_to_learn(dataset: DemoDataset) -> None:
    stems = [wording.split("{target}")[0] for wording in dataset.wordings]
    for seed in range(40):
        scene = draw_scene(dataset, random.Random(seed))
        for question, said in base_turns(dataset, scene, random.Random(seed)):
            assert not any(stem in question for stem in stems[-HELD_OUT:])
            assert not any(option in question or option in said for option in dataset.options)
            if any(stem in question for stem in stems):
                assert said not in scene.answers.values(), "the challenge's questions are answered in other words"


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_the_base_is_taught_what_is_to_be_seen(dataset: DemoDataset) -> None:
    said = set()
    for seed in range(40):
        scene = draw_scene(dataset, random.Random(seed))
        turns = base_turns(dataset, scene, random.Random(seed))
        assert 1 <= len(turns) <= MOST_TARGETS
        assert turns == base_turns(dataset, scene, random.Random(seed)), "seeded"
        said |= {answer for _, answer in turns}
    assert len(said) > 2
    assert len(dataset.plain) == len(dataset.options) == len(set(dataset.plain))
