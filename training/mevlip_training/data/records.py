"""Reading a FLARE tree with its answers."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from mevlip.core.errors import InputError
from mevlip.flare.questions import Question, read_input_folder
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

UNKNOWN = "unknown"
"""Split of a record that neither its path nor its Split field tells."""

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

    Where a file withholds an answer and a `*_withGT.json` lies beside it, the answer comes from there.

    Args:
        root: The whole tree, one split of it, or any folder in it.

    Raises:
        InputError: The folder is missing, or no question with a known task type was found in it.
    """
    folder = read_input_folder(root)
    problems = list(folder.problems)
    truths: dict[str, list[Any]] = {}
    undeclared: Counter[tuple[str, str]] = Counter()
    rows = []
    for question in folder.questions:
        if question.declared is None:
            undeclared[question.file, repr(question.record.get("TaskType"))] += 1
            continue
        if question.file not in truths:
            truths[question.file] = _read_truth(folder.root / question.file, problems)
        answer = question.record.get("Answer")
        if not has_answer(answer):
            answer = _true_answer(question, truths[question.file], problems)
        dataset = question.folder
        rows.append(
            Example(question, answer, question.declared, _split(question, root), dataset.parent.name, dataset.name)
        )
    problems += [
        f"{file}: {count} records left out, whose TaskType {spelling} is none of the seven"
        for (file, spelling), count in undeclared.items()
    ]
    for problem in problems:
        logger.warning("%s", problem)
    if not rows:
        raise InputError(
            f"No record below {root} has a known TaskType ({problems[0]})", "Fill the field; `mevlip tasks` lists them."
        )
    return Examples(folder.root, tuple(rows), tuple(problems))


def has_answer(answer: Any) -> bool:
    """Whether an Answer field says anything; an empty list or object says that there is nothing to find."""
    return bool(answer.strip()) if isinstance(answer, str) else answer is not None


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


def _read_truth(path: Path, problems: list[str]) -> list[Any]:
    truth = path.with_name(f"{path.stem}_withGT.json")
    try:
        content = json.loads(truth.read_bytes()) if truth.is_file() else []
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{truth}: cannot be read ({type(error).__name__})")
        return []
    return content if isinstance(content, list) else []


def _true_answer(question: Question, truth: list[Any], problems: list[str]) -> Any:
    """The answer of the same record in the ground truth; `""` where there is none."""
    if not truth:
        return ""
    record = truth[question.index] if question.index < len(truth) else None
    # Two files of one name may have been edited apart; an answer to another question would be poison.
    if not isinstance(record, dict) or any(record.get(f) != question.record.get(f) for f in ("Question", "ImageName")):
        problems.append(f"{question.where}: the ground truth beside it has another record at this place")
        return ""
    answer = record.get("Answer")
    return answer if has_answer(answer) else ""


def _split(question: Question, root: Path) -> str:
    for part in (*reversed(PurePosixPath(question.file).parts[:-1]), root.resolve().name):
        name = part.lower().replace("_", "-")
        if name in SPLITS:
            return name
    field = question.record.get("Split")
    return _SPLIT_FIELDS.get(field.strip().lower().replace("_", "-"), UNKNOWN) if isinstance(field, str) else UNKNOWN
