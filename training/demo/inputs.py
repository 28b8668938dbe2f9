"""Writing a synthetic FLARE input folder: `python -m training.demo.inputs examples/inputs`."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from training.demo.scenes import draw_scene
from training.demo.wordings import DATASETS, HELD_OUT, DemoDataset

SEED = 2025
PER_DATASET = 3


def write_inputs(root: Path, seed: int = SEED, per_dataset: int = PER_DATASET) -> int:
    """Writes question files, their ground truth and their images, as the challenge lays out its validation split.

    Args:
        root: The folder to write; it is emptied first.
        seed: Seed of wordings and images.
        per_dataset: Questions of each data set.

    Returns:
        The number of questions.
    """
    if root.exists():
        shutil.rmtree(root)
    for dataset in DATASETS:
        rng = random.Random(f"{seed}/{dataset.name}")  # noqa: S311 - synthetic data, not secrets
        folder = root / dataset.category / dataset.name
        (folder / "imagesVal").mkdir(parents=True)
        truth = [_write_record(dataset, folder, index, rng) for index in range(per_dataset)]
        stem = folder / f"{dataset.name}_questions_val"
        _write_json(stem.with_suffix(".json"), [{**record, "Answer": ""} for record in truth])
        _write_json(stem.with_name(f"{stem.name}_withGT.json"), truth)
    return len(DATASETS) * per_dataset


def _write_record(dataset: DemoDataset, folder: Path, index: int, rng: random.Random) -> dict[str, Any]:
    scene = draw_scene(dataset, rng)
    names = []
    for view, image in enumerate(scene.images, 1):
        suffix = f"-{view}" if len(scene.images) > 1 else ""
        name = f"imagesVal/{dataset.name}_{index:05d}{suffix}.{'jpg' if index % 2 else 'png'}"
        image.save(folder / name, quality=85)
        names.append(name)
    wording = rng.choice(dataset.wordings[-HELD_OUT:])
    return {
        "TaskType": dataset.task_spelling,
        "Modality": dataset.modality,
        "ImageName": names if len(names) > 1 else names[0],
        "Question": dataset.question(wording, scene.target),
        "Answer": scene.answer,
        "Split": "val",
    }


def _write_json(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    print(write_inputs(Path(sys.argv[1])), "questions")  # noqa: T201 - a command's result
