"""The questions that every system is asked about every perturbation: some of a folder's, from all its data sets."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from mevlip.core.errors import InputError
from mevlip.flare.questions import InputFolder, Question
from mevlip.flare.store import ImageStore
from mevlip.runs.journal import question_key
from mevlip.tasks import TaskType
from mevlip_validation.defaults import SEED
from mevlip_validation.matching import Row, Truth, rows_of_questions
from mevlip_validation.perturbations.asked import Asked
from mevlip_validation.perturbations.registry import Modality, modality_named

SIZE = 500
"""Questions of a sample, as many as in the published benchmark."""


@dataclass(frozen=True)
class Item:
    """One question of a sample.

    Attributes:
        question: The question; its position is its place in the sample.
        row: Its truth, without an answer.
        modality: What kind of picture it is about; None where neither its record nor a folder says so.
    """

    question: Question
    row: Row
    modality: Modality | None

    @property
    def asked(self) -> Asked:
        """What is asked about what kind of picture."""
        return Asked(self.row.task, self.modality)


@dataclass(frozen=True)
class Sample:
    """The questions of a folder that are asked, in the folder's order.

    Attributes:
        root: The input folder, resolved, which holds all pictures.
        items: The questions.
        population: Number of the folder's questions that have a truth.
        seed: The seed of the choice.
    """

    root: Path
    items: tuple[Item, ...]
    population: int
    seed: int

    @cached_property
    def box_pictures(self) -> frozenset[tuple[object, ...]]:
        """The pictures that some question asks boxes of; they move no farther than boxes can follow, for all."""
        return frozenset(item.question.pictures for item in self.items if item.asked.for_boxes)

    def digest(self) -> str:
        """What identifies the questions, their truths, and the state of their pictures' files."""
        with ImageStore(self.root) as store:
            keys = [f"{question_key(item.question, store)} {item.modality} {item.row.target}" for item in self.items]
        return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()


def draw_sample(folder: InputFolder, truths: Sequence[Truth], size: int = SIZE, seed: int = SEED) -> Sample:
    """Chooses questions by picture, with all questions about it, from each task in turn, and there from each data set.

    So rare tasks and small data sets are there as well as others, and questions about one picture stay together.

    Args:
        folder: The input folder, read.
        truths: The true answers.
        size: Most questions.
        seed: Random seed; a larger sample of the same seed holds nearly all of a smaller one.

    Raises:
        InputError: No question has a truth.
    """
    rows = rows_of_questions(truths, folder.questions)
    if not rows:
        raise InputError(
            f"No question of {folder.root} has a true answer", "Name the --truth whose ImageName and Question are its."
        )
    strata: dict[TaskType, dict[str, dict[tuple[str, str], list[int]]]] = {}
    for place, row in rows.items():
        pictures = strata.setdefault(row.task, {}).setdefault(row.dataset, defaultdict(list))
        pictures[row.cluster].append(place)
    tasks = []
    for task, datasets in sorted(strata.items()):
        shuffled = (_shuffled(list(one.values()), f"{seed} {task} {name}") for name, one in sorted(datasets.items()))
        tasks.append(_in_turn(shuffled))
    chosen: list[int] = []
    for group in _in_turn(tasks):
        if len(chosen) + len(group) <= size:
            chosen += group
    items = []
    for number, place in enumerate(sorted(chosen)):
        found, row = folder.questions[place], rows[place]
        question = replace(found, position=number)
        items.append(Item(question, row, _modality(question, row, folder.root)))
    return Sample(folder.root, tuple(items), len(rows), seed)


def _shuffled(groups: list[list[int]], seed: str) -> list[list[int]]:
    random.Random(seed).shuffle(groups)  # noqa: S311 - a choice of questions is no secret
    return groups


def _in_turn(lists: Iterable[list[list[int]]]) -> list[list[int]]:
    """The first of each list, then the second of each, and so on."""
    return [one for round_ in zip_longest(*lists) for one in round_ if one is not None]


def _modality(question: Question, row: Row, root: Path) -> Modality | None:
    """What the record says, if that is one of FLARE's words, else the nearest folder that bears one."""
    inside = question.folder.relative_to(root).parts if question.folder.is_relative_to(root) else ()
    names = (row.modality, *reversed(inside), root.name)
    return next((found for name in names if (found := modality_named(name))), None)
