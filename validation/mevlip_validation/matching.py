"""Matches predictions with the truth: every row is accounted for, none silently dropped."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mevlip.answers import QuestionSpec, TypedAnswer
from mevlip.answers.base import Unparsable
from mevlip.core.errors import InputError
from mevlip.core.files import LARGEST_LIST, read_bounded
from mevlip.core.text import visible
from mevlip.flare.ground_truth import AnsweredFolder, read_answered
from mevlip.runs.explanations import Explanation
from mevlip.tasks import TASKS, TaskType, parse_task_type

logger = logging.getLogger(__name__)

By = Literal["question", "position"]
Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One question with its target and its prediction.

    Attributes:
        dataset: Name of the folder that holds its question file.
        task: Its declared task.
        modality: Its Modality field.
        images: Its image names.
        question: Its text.
        target: The true answer, as text.
        prediction: The predicted answer, as text; None where there is none.
        place: File and record number of the truth.
        folder: Folder of the question file, below which the images lie.
        duplicate_predictions: Further answers to the same question, of which FLARE 2025's evaluator takes the last.
        explanation: How the answer came about, as `mevlip predict --explanations` writes it; None where not known.
        judgments: Scores by model-based scorers, by the scorer's name.
    """

    dataset: str
    task: TaskType
    modality: str
    images: tuple[str, ...]
    question: str
    target: str
    prediction: str | None
    place: str
    folder: Path
    duplicate_predictions: tuple[str, ...] = ()
    explanation: Explanation | None = None
    judgments: Mapping[str, float] = field(default_factory=dict)

    @property
    def cluster(self) -> tuple[str, str]:
        """Questions about one image are not independent; they are resampled together."""
        return self.dataset, self.images[0] if self.images else self.place

    @cached_property
    def spec(self) -> QuestionSpec:
        """What the question asks for."""
        return QuestionSpec(self.question)

    @cached_property
    def parsed_target(self) -> TypedAnswer | None:
        """The target as a typed answer; None where it cannot be parsed, which `mevlip data check` reports."""
        return _parse(self.task, self.target, self.spec, ("parse", "parse_tolerantly"))

    @cached_property
    def parsed_prediction(self) -> TypedAnswer | None:
        """The prediction as a typed answer, parsed as tolerantly as the predictor parses its model's text."""
        return _parse(self.task, self.prediction or "", self.spec, ("parse", "parse_tolerantly", "repair"))


@dataclass(frozen=True)
class Matched:
    """Rows, and what could not be matched.

    Attributes:
        rows: A row for each answered truth, in its order.
        missing: Truths without a prediction.
        duplicates: Predictions beyond the truths with the same image and question; the first ones count.
        surplus: Predictions that answer no truth.
        unscored: Truths without an answer or of no known task.
    """

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every truth has exactly one prediction and every prediction a truth."""
        return not (self.missing or self.duplicates or self.surplus)


@dataclass(frozen=True)
class Truth:
    """One record of an answered question file.

    Attributes:
        place: File and record number, such as `a/b_questions_val.json[3]`.
        folder: The file's folder.
        record: The record.
    """

    place: str
    folder: Path
    record: Record


_NO_TRUTH = "Name a folder with question files or *_withGT.json whose Answer and TaskType fields are filled."


def read_truth(root: Path) -> tuple[Truth, ...]:
    """Reads answered questions; files are chosen as the predictor chooses them, see `read_answered`.

    Args:
        root: One question file, or a folder of any depth.

    Returns:
        The records in the order in which the predictor answers them.

    Raises:
        InputError: There is none.
    """
    try:
        folder = read_answered(root)
    except InputError as error:
        raise InputError(f"{root} has no answered questions ({error.cause})", _NO_TRUTH) from error
    return truths_of(folder)


def truths_of(folder: AnsweredFolder) -> tuple[Truth, ...]:
    """The true answers of a folder that was read.

    Raises:
        InputError: No record has both an answer and a known TaskType.
    """
    for problem in folder.problems:
        logger.warning("%s", problem)
    truths = tuple(Truth(row.where, row.question.folder, {**row.truth, "Answer": row.answer}) for row in folder.rows)
    answered = [truth for truth in truths if _as_text(truth.record.get("Answer")).strip()]
    if not any(parse_task_type(truth.record.get("TaskType")) for truth in answered):
        known = " with a known TaskType" if answered else ""
        raise InputError(f"{folder.root} has no answered questions{known}", _NO_TRUTH)
    return truths


def read_records(path: Path) -> list[Record]:
    """Reads a JSON list of records.

    Raises:
        InputError: It is not one.
    """
    try:
        content = json.loads(read_bounded(path, LARGEST_LIST))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error})", "Name a JSON list of records.") from error
    if not isinstance(content, list):
        raise InputError(f"{path} is not a list of records", "Name a predictions.json or an answered question file.")
    for index, record in enumerate(content):
        if not isinstance(record, dict):
            raise InputError(
                f"{path}[{index}] is a {type(record).__name__}, not a record",
                "Fix or remove that entry, then score again.",
            )
    return content


def match(
    truths: Sequence[Truth],
    predictions: Sequence[Record],
    explanations: Sequence[Explanation] | None = None,
    by: By = "question",
) -> Matched:
    """Finds the prediction of each truth.

    Args:
        truths: As `read_truth` gives them.
        predictions: Predicted records.
        explanations: How each of them came about, in the same order; None where that is not known.
        by: `question` compares image names and question, as the public evaluators do, and takes equal ones in order;
            `position` matches by position, for files whose questions or image names were changed.

    Raises:
        InputError: The explanations belong to other predictions.
    """
    if explanations is not None:
        _check_explanations(explanations, predictions)
    if by == "position":
        questions: list[object] = list(range(len(truths)))
        answered: list[object] = list(range(len(predictions)))
    else:
        questions, answered = [_key(truth.record) for truth in truths], [_key(record) for record in predictions]
    answers, surplus = _assign(questions, answered)
    rows, missing, duplicates, unscored = [], [], [], []
    for truth, mine in zip(truths, answers, strict=True):
        duplicates += mine[1:]
        task = parse_task_type(truth.record.get("TaskType"))
        if task is None or not _as_text(truth.record.get("Answer")).strip():
            unscored.append(truth.place)
            continue
        if not mine:
            missing.append(truth.place)
        texts = [_as_text(predictions[index].get("Answer")) for index in mine]
        rows.append(_row(truth, task, texts, explanations[mine[0]] if explanations and mine else None))
    return Matched(tuple(rows), tuple(missing), _places(duplicates), _places(surplus), tuple(unscored))


def _check_explanations(explanations: Sequence[Explanation], predictions: Sequence[Record]) -> None:
    remedy = "Name the --explanations file of the run that wrote the predictions."
    if len(explanations) != len(predictions):
        raise InputError(f"There are {len(explanations)} explanations of {len(predictions)} predictions", remedy)
    for index, (explanation, record) in enumerate(zip(explanations, predictions, strict=True)):
        if explanation.answer != record.get("Answer"):
            raise InputError(
                f"The explanations belong to other predictions: explanation [{index}] is of another Answer than "
                f"prediction [{index}]",
                remedy,
            )


def _assign(questions: Sequence[object], answered: Sequence[object]) -> tuple[list[list[int]], list[int]]:
    """Finds each question's answers by their places, and the answers that belong to no question.

    Equal questions get equal answers in order; what is left over of them goes to the last.
    """
    waiting: dict[object, list[int]] = defaultdict(list)
    for index, key in enumerate(answered):
        waiting[key].append(index)
    last = {key: index for index, key in enumerate(questions)}
    found = []
    for index, key in enumerate(questions):
        mine = waiting[key]
        found.append(mine[:] if last[key] == index else mine[:1])
        del mine[: len(found[-1])]
    return found, [index for mine in waiting.values() for index in mine]


def _row(truth: Truth, task: TaskType, predictions: Sequence[str], explanation: Explanation | None) -> Row:
    record = truth.record
    return Row(
        dataset=visible(truth.folder.name),
        task=task,
        modality=str(record.get("Modality", "")),
        images=_names(record.get("ImageName")),
        question=str(record.get("Question")),
        target=_as_text(record.get("Answer")),
        prediction=predictions[0] if predictions else None,
        duplicate_predictions=tuple(predictions[1:]),
        place=truth.place,
        folder=truth.folder,
        explanation=explanation,
    )


def _parse(task: TaskType, text: str, spec: QuestionSpec, ways: tuple[str, ...]) -> TypedAnswer | None:
    kind = TASKS[task].answer
    for way in ways:
        try:
            answer: TypedAnswer = getattr(kind, way)(text, spec)
            return answer
        except Unparsable:
            continue
    return None


def _key(record: Record) -> tuple[str, str]:
    """Image names and question, by which the public evaluators find a row."""
    return json.dumps(record.get("ImageName")), str(record.get("Question"))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),) if value else ()


def _places(indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"[{index}]" for index in sorted(indices))


def _as_text(answer: Any) -> str:
    """An Answer field as the evaluators read it: text as it is, other JSON as text."""
    return answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
