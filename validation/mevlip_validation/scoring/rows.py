"""Truth and predictions side by side: every row accounted for, none silently dropped."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mevlip.answers import QuestionSpec, TypedAnswer
from mevlip.answers.base import Unparsable
from mevlip.core.errors import InputError
from mevlip.reading import answer_class
from mevlip.tasks import TaskType, parse_task_type

By = Literal["question", "position"]
Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One question with its truth and what was said.

    Attributes:
        dataset: Name of the folder that holds its question file.
        task: Its declared task.
        modality: Its Modality field.
        images: Its image names.
        question: Its text.
        truth: The true answer, as text.
        said: The predicted answer, as text; None where there is none.
        later: Further answers to the same question, of which FLARE 2025's evaluator takes the last.
        place: File and record number of the truth.
        folder: Folder of the question file, below which the images lie.
        explanation: How the answer came about, as `mevlip predict --explain` writes it; empty where that is not known.
        judgments: Scores by model-based scorers, by the scorer's name.
    """

    dataset: str
    task: TaskType
    modality: str
    images: tuple[str, ...]
    question: str
    truth: str
    said: str | None
    place: str
    folder: Path
    later: tuple[str, ...] = ()
    explanation: Mapping[str, Any] = field(default_factory=dict)
    judgments: Mapping[str, float] = field(default_factory=dict)

    @property
    def cluster(self) -> tuple[str, str]:
        """Questions about one image are not independent; they are drawn together."""
        return self.dataset, self.images[0] if self.images else self.place

    @cached_property
    def spec(self) -> QuestionSpec:
        """What the question asks for."""
        return QuestionSpec(self.question)

    @cached_property
    def meant_truth(self) -> TypedAnswer | None:
        """The truth as a typed answer; None where it is none, which `mevlip data audit` tells of."""
        return _parsed(self.task, self.truth, self.spec, ("parse", "parse_tolerantly"))

    @cached_property
    def meant(self) -> TypedAnswer | None:
        """What was said as a typed answer, read as tolerantly as the predictor reads its model; None where nothing."""
        return _parsed(self.task, self.said or "", self.spec, ("parse", "parse_tolerantly", "repair"))


@dataclass(frozen=True)
class Matched:
    """Rows and what did not fit.

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
    def whole(self) -> bool:
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


def read_truth(root: Path) -> tuple[Truth, ...]:
    """Reads answered question files, each `*_withGT.json` in place of the file that it answers.

    Args:
        root: One such file, or a folder of any depth.

    Returns:
        The records in the order in which the predictor answers them.

    Raises:
        InputError: There is none.
    """
    if root.is_file():
        files, base = [root], root.parent
    else:
        found = {path for path in root.rglob("*_questions_*.json") if not path.name.startswith(".")}
        full = {path for path in found if path.stem.endswith("_withGT")}
        files = sorted(found - {path.with_name(_asked(path.name)) for path in full}, key=_walked)
        base = root
    truths = tuple(
        Truth(f"{path.relative_to(base).as_posix()}[{index}]", path.parent, record)
        for path in files
        for index, record in enumerate(read_records(path))
    )
    answered = [truth for truth in truths if _as_text(truth.record.get("Answer")).strip()]
    if not any(parse_task_type(truth.record.get("TaskType")) for truth in answered):
        raise InputError(
            f"{root} holds no answered questions" + (" with a known TaskType" if answered else ""),
            "Name a folder with *_questions_*.json or *_withGT.json whose Answer and TaskType fields are filled.",
        )
    return truths


def read_records(path: Path) -> list[Record]:
    """Reads a JSON list of records.

    Raises:
        InputError: It is none.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error})", "Name a JSON list of records.") from error
    if not isinstance(content, list):
        raise InputError(f"{path} holds no list", "Name a predictions.json or an answered question file.")
    for index, record in enumerate(content):
        if not isinstance(record, dict):
            raise InputError(
                f"{path}[{index}] is a {type(record).__name__}, no record",
                "Mend or remove that entry, then score again.",
            )
    return content


def read_explanations(path: Path, predictions: Sequence[Record]) -> list[Record]:
    """Reads what `mevlip predict --explain` wrote beside the predictions, one line for each of them.

    Raises:
        InputError: It is no such file, or of other predictions.
    """
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error})", "Name a file that predict --explain wrote.") from error
    answers = [line.get("answer") if isinstance(line, dict) else None for line in lines]
    if answers != [record.get("Answer") for record in predictions]:
        raise InputError(
            f"{path} explains other answers than the predictions hold", "Name the --explain file of the same run."
        )
    return lines


def match(
    truths: Sequence[Truth],
    predictions: Sequence[Record],
    explanations: Sequence[Record] = (),
    by: By = "question",
) -> Matched:
    """Finds the prediction of each truth.

    Args:
        truths: As `read_truth` gives them.
        predictions: Predicted records.
        explanations: How each of them came about, in the same order; none where that is not known.
        by: `question` compares image names and question, as the public evaluators do, and takes equal ones in order;
            `position` takes the n-th for the n-th, for files whose questions or image names were changed.
    """
    if by == "position":
        asked: list[object] = list(range(len(truths)))
        said: list[object] = list(range(len(predictions)))
    else:
        asked, said = [_key(truth.record) for truth in truths], [_key(record) for record in predictions]
    answers, surplus = _assign(asked, said)
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
        rows.append(_row(truth, task, texts, explanations[mine[0]] if explanations and mine else {}))
    return Matched(tuple(rows), tuple(missing), _places(duplicates), _places(surplus), tuple(unscored))


def _assign(asked: Sequence[object], said: Sequence[object]) -> tuple[list[list[int]], list[int]]:
    """Gives each question its answers' places, and tells which answers belong to none.

    Equal questions get equal answers in order; what is left over of them goes to the last.
    """
    waiting: dict[object, list[int]] = defaultdict(list)
    for index, key in enumerate(said):
        waiting[key].append(index)
    last = {key: index for index, key in enumerate(asked)}
    found = []
    for index, key in enumerate(asked):
        mine = waiting[key]
        found.append(mine[:] if last[key] == index else mine[:1])
        del mine[: len(found[-1])]
    return found, [index for mine in waiting.values() for index in mine]


def _row(truth: Truth, task: TaskType, said: Sequence[str], explanation: Record) -> Row:
    record = truth.record
    return Row(
        dataset=truth.folder.name,
        task=task,
        modality=str(record.get("Modality", "")),
        images=_names(record.get("ImageName")),
        question=str(record.get("Question")),
        truth=_as_text(record.get("Answer")),
        said=said[0] if said else None,
        later=tuple(said[1:]),
        place=truth.place,
        folder=truth.folder,
        explanation=explanation,
    )


def _parsed(task: TaskType, text: str, spec: QuestionSpec, ways: tuple[str, ...]) -> TypedAnswer | None:
    kind = answer_class(task)
    for way in ways:
        try:
            answer: TypedAnswer = getattr(kind, way)(text, spec)
            return answer
        except Unparsable:
            continue
    return None


def _walked(path: Path) -> tuple[tuple[str, ...], str]:
    """Sorts as the predictor walks: a folder's own files before those of the folders in it."""
    return path.parent.parts, _asked(path.name)


def _asked(name: str) -> str:
    return name.replace("_withGT", "")


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
