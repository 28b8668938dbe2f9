"""Writing synthetic FLARE folders: `python -m mevlip_training.demo.inputs examples` writes the examples anew."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from mevlip_training.demo.scenes import draw_scene
from mevlip_training.demo.wordings import DATASETS, HELD_OUT, DemoDataset

SEED = 2025
PER_DATASET = 3
ANSWERED_PER_DATASET = 20
"""Answered training questions that lie beside the examples, for scores to be compared with constants."""
PER_IMAGE = 3
"""At most this many questions are asked about one scene."""

Split = Literal["train", "val"]


def write_inputs(
    root: Path, seed: int = SEED, per_dataset: int = PER_DATASET, datasets: Sequence[DemoDataset] = DATASETS
) -> int:
    """Writes question files, their ground truth and their images, as the challenge lays out its validation split.

    Args:
        root: The folder to write; it is emptied first.
        seed: Seed of wordings and images.
        per_dataset: Questions of each data set, all in wordings that are never trained on.
        datasets: Which data sets.

    Returns:
        The number of questions.
    """
    for dataset, folder, records in _draw_all(root, seed, {dataset.name: per_dataset for dataset in datasets}, "val"):
        stem = folder / f"{dataset.name}_questions_val"
        _write_json(stem.with_suffix(".json"), [{**record, "Answer": ""} for record in records])
        _write_json(stem.with_name(f"{stem.name}_withGT.json"), records)
    return len(datasets) * per_dataset


def write_training(root: Path, seed: int, per_dataset: dict[str, int]) -> int:
    """Writes answered question files and their images, as the challenge lays out its training split.

    Args:
        root: The folder to write; it is emptied first.
        seed: Seed of wordings and images.
        per_dataset: Questions of each data set, by its name.

    Returns:
        The number of questions.
    """
    for dataset, folder, records in _draw_all(root, seed, per_dataset, "train"):
        _write_json(folder / f"{dataset.name}_questions_train.json", records)
    return sum(per_dataset.values())


def write_examples(root: Path) -> int:
    """Writes `inputs`, questions with images and ground truth, and `training`, answered questions without images."""
    count = write_inputs(root / "inputs")
    write_training(root / "training", SEED, {dataset.name: ANSWERED_PER_DATASET for dataset in DATASETS})
    for images in sorted((root / "training").rglob(_image_folder("train"))):
        shutil.rmtree(images)
    return count


def _draw_all(
    root: Path, seed: int, per_dataset: dict[str, int], split: Split
) -> Iterator[tuple[DemoDataset, Path, list[dict[str, Any]]]]:
    if root.exists():
        shutil.rmtree(root)
    for dataset in DATASETS:
        if dataset.name not in per_dataset:
            continue
        rng = random.Random(f"{split}/{seed}/{dataset.name}")  # noqa: S311 - synthetic data, not secrets
        folder = root / dataset.category / dataset.name
        (folder / _image_folder(split)).mkdir(parents=True)
        records: list[dict[str, Any]] = []
        while len(records) < per_dataset[dataset.name]:
            records += _write_scene(dataset, folder, len(records), rng, split)
        yield dataset, folder, records[: per_dataset[dataset.name]]


def _write_scene(
    dataset: DemoDataset, folder: Path, index: int, rng: random.Random, split: Split
) -> list[dict[str, Any]]:
    """Draws a scene, writes its images and asks about it."""
    scene = draw_scene(dataset, rng)
    names = []
    for view, image in enumerate(scene.images, 1):
        suffix = f"-{view}" if len(scene.images) > 1 else ""
        name = f"{_image_folder(split)}/{dataset.name}_{index:05d}{suffix}.{'jpg' if index % 2 else 'png'}"
        image.save(folder / name, quality=85)
        names.append(name)
    wordings = dataset.wordings[-HELD_OUT:] if split == "val" else dataset.wordings[:-HELD_OUT]
    return [
        {
            "TaskType": dataset.task_spelling,
            "Modality": dataset.modality,
            "ImageName": names if len(names) > 1 else names[0],
            "Question": dataset.question(rng.choice(wordings), target),
            "Answer": answer,
            "Split": split,
        }
        for target, answer in rng.sample(sorted(scene.answers.items()), min(PER_IMAGE, len(scene.answers)))
    ]


def _image_folder(split: Split) -> str:
    return "imagesTr" if split == "train" else "imagesVal"


def _write_json(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    print(write_examples(Path(sys.argv[1])), "questions")  # noqa: T201 - a command's result
