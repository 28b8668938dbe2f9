"""Reading a FLARE tree with its answers."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from mevlip.core.errors import InputError
from mevlip.flare.ground_truth import AnsweredFolder, read_answered
from mevlip.flare.questions import Question
from mevlip.tasks import TaskType

MODALITIES = (
    "Clinical",
    "Dermatology",
    "Endoscopy",
    "Mammography",
    "Microscopy",
    "Retinography",
    "Ultrasound",
    "Xray",
)
"""The challenge's category folders."""

TRAINING = "training"
SPLITS = (TRAINING, "validation", "validation-public", "validation-hidden", "testing")
"""The challenge's split folders; `validation` alone is what this package's own split writes."""

REFIT_SPLITS = (TRAINING, "validation", "validation-public")
"""Splits that a refit is trained on; hidden validation and testing rows never are, even with answers."""

UNKNOWN = "unknown"
"""Split of a record that neither its path nor its Split field names."""

_SPLIT_FIELDS = MappingProxyType({"train": TRAINING, "val": "validation", "test": "testing"} | {s: s for s in SPLITS})
_MODALITY_BY_LETTERS = MappingProxyType({name.lower(): name for name in MODALITIES})
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A question with its answer and its place in the challenge.

    Attributes:
        question: The question as prediction reads it.
        answer: The Answer field as found, a string or the JSON value of boxes; `""` where there is none.
        task: The declared task type.
        split: One of `SPLITS`, or `UNKNOWN`.
        category: The folder above the data set's, as spelled.
        dataset: The question file's folder.
    """

    question: Question
    answer: Any
    task: TaskType
    split: str
    category: str
    dataset: str

    @property
    def modality(self) -> str:
        """The category as the challenge spells it; a foreign one as it stands."""
        return _MODALITY_BY_LETTERS.get("".join(filter(str.isalpha, self.category)).lower(), self.category)

    @property
    def place(self) -> PurePosixPath:
        """`<category>/<dataset>`, where the question file lies below a split."""
        return PurePosixPath(self.category, self.dataset)

    @property
    def id(self) -> str:
        """`<dataset>/<stem of the question file>/<index>`."""
        return f"{self.dataset}/{PurePosixPath(self.question.file).stem}/{self.question.index}"


@dataclass(frozen=True)
class Examples:
    """What a FLARE tree holds.

    Attributes:
        root: The tree's root, resolved.
        rows: Every record with a known task type, files by path, records as they stand.
        problems: One line for each file or kind of record that was passed over; logged as warnings, too.
    """

    root: Path
    rows: tuple[Example, ...]
    problems: tuple[str, ...]


def read_examples(root: Path) -> Examples:
    """Reads every record below a FLARE folder together with its answer.

    Answers are found as `mevlip.flare.ground_truth` does: in the record, or in the `*_withGT.json` beside its file.

    Args:
        root: The whole tree, one split of it, or any folder in it.

    Raises:
        InputError: The folder is missing, or no question with a known task type was found in it.
    """
    examples = examples_of(read_answered(root), root)
    for problem in examples.problems:
        logger.warning("%s", problem)
    if not examples.rows:
        raise InputError(
            f"No record below {root} has a known TaskType ({examples.problems[0]})",
            "Fill the field; `mevlip tasks` lists them.",
        )
    return examples


def examples_of(folder: AnsweredFolder, root: Path) -> Examples:
    """The records of a folder that have a known task type.

    Args:
        folder: The folder, read.
        root: The folder as it was named; its own name may be that of a split.
    """
    problems = list(folder.problems)
    undeclared: Counter[tuple[str, str]] = Counter()
    rows = []
    for row in folder.rows:
        question, task = row.question, row.task
        if task is None:
            undeclared[question.file, repr(question.record.get("TaskType"))] += 1
            continue
        dataset = question.folder
        rows.append(Example(question, row.answer, task, _split(question, root), dataset.parent.name, dataset.name))
    problems += [
        f"{file}: {count} records left out, whose TaskType {spelling} is none of the seven"
        for (file, spelling), count in undeclared.items()
    ]
    return Examples(folder.root, tuple(rows), tuple(problems))


def rows_to_train(examples: Examples) -> tuple[Example, ...]:
    """The training split's rows; all rows of a tree that is but one other split.

    Raises:
        InputError: The tree holds several splits, none of which is for training.
    """
    splits = {row.split for row in examples.rows}
    if TRAINING in splits:
        return tuple(row for row in examples.rows if row.split == TRAINING)
    if len(splits) > 1:
        raise InputError(
            f"{examples.root} holds {', '.join(sorted(splits))}, but no {TRAINING} folder", "Name the folder of one."
        )
    return examples.rows


def rows_to_refit(examples: Examples) -> tuple[Example, ...]:
    """The rows of training and of the public validation splits, once nothing is left to be chosen on the latter.

    A tree without a training folder gives what `rows_to_train` does.
    """
    if not any(row.split == TRAINING for row in examples.rows):
        return rows_to_train(examples)
    return tuple(row for row in examples.rows if row.split in REFIT_SPLITS)


def _split(question: Question, root: Path) -> str:
    for part in (*reversed(PurePosixPath(question.file).parts[:-1]), root.resolve().name):
        name = part.lower().replace("_", "-")
        if name in SPLITS:
            return name
    field = question.record.get("Split")
    return _SPLIT_FIELDS.get(field.strip().lower().replace("_", "-"), UNKNOWN) if isinstance(field, str) else UNKNOWN
