"""Reading questions together with their answers: for training, for scoring, and for the audit of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip.flare.questions import (
    InputFolder,
    Question,
    Record,
    input_root,
    is_ground_truth,
    is_question_file,
    json_files,
    no_questions,
    preferred_names,
    read_questions,
)
from mevlip.flare.records import name_below, read_records
from mevlip.tasks import TaskType, parse_task_type

_MARK = re.compile("_?withgt", re.IGNORECASE)
_IDENTITY = ("Question", "ImageName")


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question with the record that answers it.

    Attributes:
        question: The question as the predictor reads it.
        truth: The record with the answer: that of the `*_withGT.json` beside the question file where this has one, else
            the question's own.
        file: The file that holds `truth`, relative to the folder, with forward slashes.
    """

    question: Question
    truth: Record
    file: str

    @property
    def where(self) -> str:
        """The place of the record with the answer, for messages."""
        return f"{self.file}[{self.question.index}]"

    @property
    def answer(self) -> Any:
        """The Answer field as found, a string or the JSON value of boxes; `""` where there is none."""
        answer = self.truth.get("Answer")
        return answer if has_answer(answer) else ""

    @property
    def task(self) -> TaskType | None:
        """The task type that the question or its answer states, where one states a known one."""
        return self.question.declared or parse_task_type(self.truth.get("TaskType"))


@dataclass(frozen=True)
class AnsweredFolder:
    """All questions below a folder with their answers, and what was passed over on the way.

    Attributes:
        root: The folder, resolved.
        rows: Every question, in the predictor's order.
        problems: One line for each file or entry that could not be used, and each answer to another question.
    """

    root: Path
    rows: tuple[AnsweredQuestion, ...]
    problems: tuple[str, ...]

    @property
    def questions(self) -> InputFolder:
        """The folder as the predictor reads it, without the answers."""
        return InputFolder(self.root, tuple(row.question for row in self.rows), self.problems)


def read_answered(root: Path) -> AnsweredFolder:
    """Reads every question that the predictor would answer, together with its answer.

    Files are chosen and ordered as `read_input_folder` does. Where a `*_withGT.json` lies beside a question file, its
    record at the same index gives the answer, if it has the same Question and ImageName. A `*_withGT.json` without such
    a file beside it is a question file itself.

    Args:
        root: A folder of any depth, or one file.

    Returns:
        All questions; those without an answer have an empty one.

    Raises:
        InputError: The folder is missing, or no question was found in it.
    """
    file = root.resolve() if root.is_file() else None
    base = input_root(file.parent if file else root)
    problems: list[str] = []
    rows: list[AnsweredQuestion] = []
    for folder, names in [_beside(file)] if file else json_files(base, None, problems):
        plain = [name for name in names if not is_ground_truth(name)]
        truths = {_asked(name).lower(): name for name in names if is_ground_truth(name)}
        alone = [name for asked, name in truths.items() if asked not in map(str.lower, plain)]
        alone = [name for name in alone if is_question_file(name)] or ([] if plain else alone)
        for name in sorted((*preferred_names(plain), *alone), key=_asked):
            named = file is not None or is_question_file(name)
            questions = read_questions(folder / name, base, len(rows), problems, named=named)
            truth = truths.get(name.lower())
            if truth and questions:
                rows += _answer(questions, folder / truth, base, problems)
            else:
                rows += [AnsweredQuestion(question, question.record, question.file) for question in questions]
    if not rows:
        raise no_questions(root, problems)
    return AnsweredFolder(base, tuple(rows), tuple(problems))


def has_answer(answer: Any) -> bool:
    """Whether an Answer field says anything; an empty list or object says that there is nothing to find."""
    return bool(answer.strip()) if isinstance(answer, str) else answer is not None


def _beside(file: Path) -> tuple[Path, list[str]]:
    """The folder and the names of one question file and of the ground truth beside it."""
    truths = [path.name for path in file.parent.glob("*.json") if is_ground_truth(path.name)]
    return file.parent, [file.name, *sorted(name for name in truths if _asked(name).lower() == file.name.lower())]


def _asked(name: str) -> str:
    """The name of the question file that a ground truth answers; other names stay."""
    return _MARK.sub("", name)


def _answer(questions: Sequence[Question], path: Path, root: Path, problems: list[str]) -> Iterator[AnsweredQuestion]:
    """Finds the answer of each question in the ground truth beside its file, else in its own record."""
    file = name_below(path, root)
    try:
        records = read_records(path, root, problems)
    except ValueError as error:
        problems.append(f"{file}: {error}")
        yield from (AnsweredQuestion(question, question.record, question.file) for question in questions)
        return
    surplus = len(records) - questions[-1].index - 1
    if surplus > 0:
        problems.append(f"{file}: {surplus} records more than its question file has; left out")
    for question in questions:
        record = records[question.index] if question.index < len(records) else None
        # Two files of one name may have been edited apart; the answer to another question would corrupt training.
        if not isinstance(record, dict) or any(record.get(f) != question.record.get(f) for f in _IDENTITY):
            problems.append(f"{question.where}: the ground truth beside it has another record at this place")
        elif has_answer(record.get("Answer")):
            yield AnsweredQuestion(question, record, file)
            continue
        yield AnsweredQuestion(question, question.record, question.file)
