"""Writing predictions.json and proving that it answers its inputs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.core.errors import EnvironmentProblem, OutputError
from mevlip.core.tables import shorten
from mevlip.flare.questions import PREDICTIONS_NAME, Question, Record

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_SHOWN = 80


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a predictions file.

    Attributes:
        index: The row in the predictions; None where the fault is the whole file's.
        field: The field, or "" where the fault is the whole row's.
        value: The offending value as JSON, shortened.
        rule: What should be the case.
    """

    index: int | None
    field: str
    value: str
    rule: str


def answered(question: Question, answer: str) -> Record:
    """The question's record with its Answer filled in and every other field as it was."""
    return {**question.record, "Answer": answer}


@cache
def schema_validator() -> Draft202012Validator:
    """The validator of predictions.schema.json."""
    from jsonschema import Draft202012Validator

    schema = json.loads(resources.files("mevlip.flare").joinpath("predictions.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def find_faults(predictions: Any, questions: Sequence[Question]) -> list[Fault]:
    """Compares predictions with the schema and, row by row, with the questions they answer.

    Args:
        predictions: The parsed content of a predictions file, whatever it is.
        questions: The questions of the input folder, in output order.

    Returns:
        Every fault, in row order; an empty list means that the predictions are valid and complete.
    """
    faults = list(_schema_faults(predictions))
    if isinstance(predictions, list) and all(isinstance(row, dict) for row in predictions):
        faults += _row_faults(predictions, questions)
    return sorted(faults, key=lambda fault: -1 if fault.index is None else fault.index)


def _schema_faults(predictions: Any) -> Iterator[Fault]:
    for error in schema_validator().iter_errors(predictions):
        path = list(error.absolute_path)
        index = path[0] if path and isinstance(path[0], int) else None
        field = ".".join(str(part) for part in path[1:])
        absent = error.validator == "required"
        value = "(absent)" if absent else _shown(error.instance)
        yield Fault(index, "Answer" if absent else field, value, _RULES.get(str(error.validator), error.message))


_RULES = {
    "required": "every row has an Answer",
    "pattern": "an Answer is one line with at least one visible character",
    "minItems": "at least one row",
}


def _row_faults(rows: list[Record], questions: Sequence[Question]) -> Iterator[Fault]:
    expected = [_key(question.record) for question in questions]
    found = [_key(row) for row in rows]
    if expected == found:
        for index, (row, question) in enumerate(zip(rows, questions, strict=True)):
            yield from _field_faults(index, row, question)
        return
    missing, surplus = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if not missing and not surplus:
        index = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
        where = questions[index].where
        yield Fault(index, "", shorten(found[index], _SHOWN), f"rows stand in input order; {where} belongs here")
    for question, key in zip(questions, expected, strict=True):
        if missing[key] > 0:
            missing[key] -= 1
            rule = f"the record {question.where} has a row (matched by ImageName and Question)"
            yield Fault(None, "", shorten(key, _SHOWN), rule)
    for index, key in reversed(list(enumerate(found))):
        if surplus[key] > 0:
            surplus[key] -= 1
            rule = "every row answers one input record, once, with ImageName and Question unchanged"
            yield Fault(index, "", shorten(key, _SHOWN), rule)


def _field_faults(index: int, row: Record, question: Question) -> Iterator[Fault]:
    for field in [*question.record, *(name for name in row if name not in question.record)]:
        if field == "Answer":
            continue
        if field not in row:
            yield Fault(index, field, "(absent)", f"the field is kept from {question.where}")
        elif field not in question.record:
            yield Fault(index, field, _shown(row[field]), f"no field is added to {question.where}")
        elif json.dumps(row[field], sort_keys=True) != json.dumps(question.record[field], sort_keys=True):
            yield Fault(index, field, _shown(row[field]), f"the value equals that of {question.where}")


def _key(record: Record) -> str:
    return json.dumps([record.get("ImageName"), record.get("Question")], sort_keys=True)


def _shown(value: Any) -> str:
    return shorten(json.dumps(value), _SHOWN)


def write_predictions(rows: Sequence[Record], questions: Sequence[Question], folder: Path) -> Path:
    """Writes predictions.json atomically: the file appears complete and checked, or not at all.

    Args:
        rows: The answered records, in output order.
        questions: The questions they answer.
        folder: The output folder.

    Raises:
        OutputError: The rows, read back from the disk, break the schema or do not match the questions.
        EnvironmentProblem: The folder cannot be written.
    """
    final = folder / PREDICTIONS_NAME
    draft = folder / f".{PREDICTIONS_NAME}.{os.getpid()}.tmp"
    try:
        with draft.open("w", encoding="ascii") as file:
            # Escaped to ASCII: a lone surrogate in a record, legal in JSON, has no UTF-8 form.
            json.dump(rows, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        faults = find_faults(json.loads(draft.read_bytes()), questions)
        if faults:
            first = faults[0]
            place = f"row {first.index}, field {first.field or '(row)'}" if first.index is not None else "the file"
            raise OutputError(
                f"{len(faults)} faults in the predictions; first: {place}: {first.rule}, got {first.value}",
                "This is a fault of the program: please report it; the answers are kept in the journal beside it.",
            )
        draft.replace(final)
        _sync_folder(folder)
    except OSError as error:
        raise EnvironmentProblem(
            f"{final} cannot be written ({error.strerror})",
            "Free space on the disk or make the output folder writable.",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return final


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
