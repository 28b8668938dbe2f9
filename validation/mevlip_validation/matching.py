"""Matches predictions with the truth: every row is accounted for, none silently dropped."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from mevlip.answers import QuestionSpec, TypedAnswer
from mevlip.answers.base import Unparsable
from mevlip.core.errors import InputError
from mevlip.core.files import LARGEST_LIST, read_bounded
from mevlip.core.text import visible
from mevlip.flare.ground_truth import AnsweredFolder, read_answered
from mevlip.flare.predictions import answered
from mevlip.flare.questions import Question
from mevlip.runs.explanations import Explanation
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_validation.mismatches import Record, check_positions, explain

logger = logging.getLogger(__name__)

By = Literal["question", "position"]


@dataclass(frozen=True)
class Row:
    """One question with its target and its prediction.

    Attributes:
        dataset: Name of the folder that holds its question file.
        task: Its declared task.
        modality: Its Modality field.
        images: Its image names.
        question: Its text.
        truth: The true Answer, as it stands in the file.
        answers: Every predicted Answer to these images and this question, as they stand in the file, in its order.
        place: File and record number of the truth.
        folder: Folder of the question file, below which the images lie.
        turn: Which of the answers is this row's own: equal questions are answered in order.
        is_last: Whether no later truth has these images and this question; FLARE 2025's evaluator knows the last only.
        explanation: How the answer came about, as `mevlip predict --explanations` writes it; None where not known.
        judgments: Scores by model-based scorers, by the scorer's name.
    """

    dataset: str
    task: TaskType
    modality: str
    images: tuple[str, ...]
    question: str
    truth: Any
    answers: tuple[Any, ...]
    place: str
    folder: Path
    turn: int = 0
    is_last: bool = True
    explanation: Explanation | None = None
    judgments: Mapping[str, float] = field(default_factory=dict)

    @property
    def cluster(self) -> tuple[str, str]:
        """Questions about one image are not independent; they are resampled together."""
        return self.dataset, self.images[0] if self.images else self.place

    @cached_property
    def target(self) -> str:
        """The true answer as text."""
        return as_text(self.truth)

    @cached_property
    def prediction(self) -> str | None:
        """The predicted answer as text; None where there is none."""
        return as_text(self.answers[self.turn]) if self.turn < len(self.answers) else None

    @property
    def answer(self) -> Any:
        """The row's own answer as it stands in the file; None where there is none."""
        return self.answers[self.turn] if self.turn < len(self.answers) else None

    @cached_property
    def spec(self) -> QuestionSpec:
        """What the question asks for; the same for all answers to it."""
        return _spec_of(self.question)

    @cached_property
    def parsed_target(self) -> TypedAnswer | None:
        """The target as a typed answer; None where it cannot be parsed, which `mevlip data check` reports."""
        return parse_answer(self.task, self.target, self.spec, ("parse", "parse_tolerantly"))

    @cached_property
    def parsed_prediction(self) -> TypedAnswer | None:
        """The prediction as a typed answer, parsed as tolerantly as the predictor parses its model's text."""
        return parse_answer(self.task, self.prediction or "", self.spec, ("parse", "parse_tolerantly", "repair"))


@lru_cache(1 << 12)
def _spec_of(question: str) -> QuestionSpec:
    return QuestionSpec(question)


@dataclass(frozen=True)
class Matched:
    """Rows, and what could not be matched.

    Attributes:
        rows: A row for each answered truth, in its order.
        missing: Truths without a prediction.
        duplicates: Predictions beyond the truths with the same image and question; the first ones count.
        surplus: Predictions that answer no truth.
        unscored: Truths without an answer or of no known task.
        hints: What keeps missing and surplus ones apart, where it is little.
    """

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

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
    answered = [truth for truth in truths if as_text(truth.record.get("Answer")).strip()]
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
            `position` matches by position, for files whose questions were changed.

    Raises:
        InputError: The explanations belong to other predictions.
        OutputError: By position, records of other questions stand beside each other.
    """
    if explanations is not None:
        _check_explanations(explanations, predictions)
    if by == "position":
        check_positions([(truth.place, truth.record) for truth in truths], predictions)
        questions: list[object] = list(range(len(truths)))
        answered: list[object] = list(range(len(predictions)))
    else:
        questions, answered = [row_key(truth.record) for truth in truths], [row_key(record) for record in predictions]
    found = _group(answered)
    last = {key: index for index, key in enumerate(questions)}
    turns: Counter[object] = Counter()
    rows: list[Row] = []
    missing, duplicates, unscored = list[Truth](), list[int](), list[str]()
    for number, (truth, key) in enumerate(zip(truths, questions, strict=True)):
        places, turn = found.get(key, ()), turns[key]
        turns[key] += 1
        is_last = last[key] == number
        duplicates += places[turn + 1 :] if is_last else ()
        task = parse_task_type(truth.record.get("TaskType"))
        if task is None or not as_text(truth.record.get("Answer")).strip():
            unscored.append(truth.place)
            continue
        if turn >= len(places):
            missing.append(truth)
        answers = tuple(predictions[place].get("Answer") for place in places)
        explanation = explanations[places[turn]] if explanations and turn < len(places) else None
        rows.append(_row(truth, task, answers, turn, is_last, explanation))
    surplus = [place for key, places in found.items() if key not in last for place in places]
    return Matched(
        tuple(rows),
        tuple(truth.place for truth in missing),
        _places(duplicates),
        _places(surplus),
        tuple(unscored),
        explain((truth.record for truth in missing), (predictions[place] for place in surplus)),
    )


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


def _group(keys: Sequence[object]) -> dict[object, list[int]]:
    """The places of each key."""
    found: dict[object, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        found[key].append(place)
    return dict(found)


def _row(
    truth: Truth, task: TaskType, answers: tuple[Any, ...], turn: int, is_last: bool, explanation: Explanation | None
) -> Row:
    record = truth.record
    return Row(
        dataset=visible(truth.folder.name),
        task=task,
        modality=str(record.get("Modality", "")),
        images=_names(record.get("ImageName")),
        question=str(record.get("Question")),
        truth=record.get("Answer"),
        answers=answers,
        place=truth.place,
        folder=truth.folder,
        turn=turn,
        is_last=is_last,
        explanation=explanation,
    )


def parse_answer(task: TaskType, text: str, spec: QuestionSpec, ways: tuple[str, ...]) -> TypedAnswer | None:
    """The typed answer of a text, by the first of some ways of reading it that can; None where none can."""
    kind = TASKS[task].answer
    for way in ways:
        try:
            answer: TypedAnswer = getattr(kind, way)(text, spec)
            return answer
        except Unparsable:
            continue
    return None


def row_key(record: Record) -> tuple[str, str]:
    """Image names and question, by which the public evaluators find a row."""
    return json.dumps(record.get("ImageName")), str(record.get("Question"))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),) if value else ()


def _places(indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"[{index}]" for index in sorted(indices))


def as_text(answer: Any) -> str:
    """An Answer field as text: text as it is, null as none, other JSON values as JSON."""
    try:
        return answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
    except RecursionError:  # lists in lists without end
        return ""


def rows_of_questions(truths: Sequence[Truth], questions: Sequence[Question]) -> dict[int, Row]:
    """The row of each question that has a true answer, by the question's place in the list; yet without an answer."""
    # The place of a question stands where its answer would, so that truths find their questions as in scoring.
    rows = match(truths, [answered(question, str(place)) for place, question in enumerate(questions)]).rows
    found = {int(row.answer): replace(row, answers=(), turn=0) for row in rows if row.answer is not None}
    return dict(sorted(found.items()))
