"""The questions of a measurement: generated pictures and wordings, as many on each picture as a mix says.

A mix names data sets of the demo, each with its questions and pictures. Questions of one picture belong to one task, so
a set can be measured task by task without losing what a picture's questions share.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

from PIL import Image

from mevlip.tasks import TaskType
from mevlip_training.demo.inputs import PER_DATASET, SEED, write_inputs
from mevlip_training.demo.scenes import draw_scene
from mevlip_training.demo.wordings import DATASETS, DemoDataset

Mix = Literal["hidden", "one", "six", "examples"]

SIDE = 448
"""Pixels of a picture's longer side, about a tile's."""


@dataclass(frozen=True)
class Part:
    """Questions of a mix in one data set.

    Attributes:
        dataset: The demo's data set, of one picture for each question.
        questions: Its questions at scale 1.
        pictures: How many pictures are asked how many questions, by the number of questions; empty where the data set
            itself says.
    """

    dataset: str
    questions: int
    pictures: dict[int, int]


HIDDEN = (
    Part("smear_types", 110, {1: 110}),
    Part("birth_planes", 120, {1: 118, 2: 1}),
    Part("fundus_grades", 296, {2: 148}),
    Part("jaw_panorama", 600, {6: 100}),
    Part("tooth_findings", 477, {1: 83, 2: 80, 3: 44, 4: 23, 5: 2}),
    Part("birth_structures", 80, {2: 40}),
    Part("chromosome_plates", 176, {1: 176}),
    Part("bone_loss", 100, {1: 100}),
)
"""FLARE 2025's hidden validation set: 1,959 questions on 1,025 pictures, as often on each picture as there. It has no
counting and no reports."""

_ALL_TASKS = {
    "jaw_panorama": 3513,
    "tooth_findings": 1447,
    "nodule_boxes": 255,
    "chromosome_plates": 176,
    "cell_fields": 100,
    "bone_loss": 100,
    "chest_regions": 1945,
}
"""Questions of the seven tasks in both validation sets, the public and the hidden one."""


def parts_of(mix: Mix) -> tuple[Part, ...]:
    """The data sets of a mix at scale 1."""
    if mix == "hidden":
        return HIDDEN
    if mix == "examples":
        return tuple(Part(dataset.name, PER_DATASET, {}) for dataset in DATASETS)
    each = {"one": 1, "six": 6}[mix]
    return tuple(Part(name, count, {each: count}) for name, count in _ALL_TASKS.items())


def quotas(parts: Sequence[Part], questions: int) -> list[int]:
    """Splits a number of questions in the parts' proportions; where it suffices, each part gets one or more."""
    total, least = sum(part.questions for part in parts), int(questions >= len(parts))
    exact = [questions * part.questions / total for part in parts]
    shares = [max(int(value), least) for value in exact]
    while (rest := questions - sum(shares)) != 0:
        step = 1 if rest > 0 else -1
        open_to = [place for place, share in enumerate(shares) if share + step >= least]
        shares[max(open_to, key=lambda place: step * (exact[place] - shares[place]))] += step
    return shares


def write_questions(root: Path, mix: Mix, questions: int | None = None, seed: int = 0) -> dict[TaskType, Path]:
    """Writes a FLARE folder for each task; equal arguments give equal files.

    Args:
        root: The folder that receives them; must not exist.
        mix: Which questions.
        questions: How many; None for the mix's own number.
        seed: Seed of wordings and pictures.

    Returns:
        The folder of each task.
    """
    parts = parts_of(mix)
    wanted = sum(part.questions for part in parts) if questions is None else questions
    datasets = {dataset.name: dataset for dataset in DATASETS}
    folders: dict[TaskType, Path] = {}
    for part, count in zip(parts, quotas(parts, wanted), strict=True):
        if count:
            dataset = datasets[part.dataset]
            folders[dataset.task] = root / dataset.task
            if part.pictures:
                _write(root / dataset.task / dataset.category / dataset.name, dataset, part, count, seed)
            else:
                write_inputs(root / dataset.task / dataset.name, SEED + seed, count, [dataset])
    return {task: folders[task] for task in TaskType if task in folders}


def _write(folder: Path, dataset: DemoDataset, part: Part, count: int, seed: int) -> None:
    rng = random.Random(f"bench/{seed}/{dataset.name}")  # noqa: S311 - synthetic data, not secrets
    (folder / "imagesVal").mkdir(parents=True)
    records: list[dict[str, str]] = []
    for place, asked in enumerate(_group_sizes(part, count, rng)):
        scene = draw_scene(dataset, rng)
        name = f"imagesVal/{dataset.name}_{place:05d}.{'jpg' if place % 2 else 'png'}"
        _enlarge(scene.images[0]).save(folder / name, quality=85)
        targets = cycle(rng.sample(sorted(scene.answers), len(scene.answers)))
        records += [
            {
                "TaskType": dataset.task_spelling,
                "Modality": dataset.modality,
                "ImageName": name,
                "Question": dataset.question(wording, next(targets)),
                "Answer": "",
                "Split": "val",
            }
            for wording in rng.sample(dataset.wordings, asked)
        ]
    text = json.dumps(records, indent=1) + "\n"
    (folder / f"{dataset.name}_questions_val.json").write_text(text, "utf-8")


def _group_sizes(part: Part, count: int, rng: random.Random) -> Iterator[int]:
    """How many questions each picture is asked, in an order that mixes the sizes; the last one takes what is left."""
    sizes = [asked for asked, pictures in part.pictures.items() for _ in range(pictures)]
    rng.shuffle(sizes)
    for size in cycle(sizes):
        if count <= 0:
            return
        yield min(size, count)
        count -= size


def _enlarge(image: Image.Image) -> Image.Image:
    factor = SIDE / max(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
