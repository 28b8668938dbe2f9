"""Writing predictions.json and proving that it answers its inputs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.core.errors import OutputError
from mevlip.core.files import atomic_file
from mevlip.core.text import answer_fault, visible
from mevlip.flare.issues import Issue, IssueCode
from mevlip.flare.questions import PREDICTIONS_NAME, Question, Record

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_SHOWN = 80
_READ_AGAIN = "Read the records with `mevlip.flare.questions`, which replaces such values."


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


def parse_strictly(content: bytes) -> Any:
    """Parses JSON without the extensions of Python's reader.

    Raises:
        ValueError: It is not valid JSON; NaN and infinite numbers are not.
        RecursionError: It is nested too deeply.
    """
    return json.loads(content, parse_constant=_refuse_constant)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")


def find_issues(predictions: Any, questions: Sequence[Question], file: str = PREDICTIONS_NAME) -> list[Issue]:
    """Compares predictions with the schema and, row by row, with the questions they answer.

    Args:
        predictions: The parsed content of a predictions file, whatever it is.
        questions: The questions of the input folder, in output order.
        file: The predictions file's name, for messages.

    Returns:
        Every issue, in row order; an empty list means that the predictions are valid and complete.
    """
    if predictions == [] and not questions:
        return []  # of a shard to which no question fell; a whole folder always has some
    issues = [*_schema_issues(predictions, file), *_answer_issues(predictions, file)]
    if isinstance(predictions, list) and all(isinstance(row, dict) for row in predictions):
        issues += _row_issues(predictions, questions, file)
    return sorted(issues, key=lambda one: -1 if one.index is None else one.index)


def _error(code: IssueCode, file: str, index: int | None, message: str, value: str, field: str = "") -> Issue:
    return Issue("error", code, file, index, message, field=field, value=value)


def _schema_issues(predictions: Any, file: str) -> Iterator[Issue]:
    for error in schema_validator().iter_errors(predictions):
        path = list(error.absolute_path)
        index = path[0] if path and isinstance(path[0], int) else None
        field = ".".join(str(part) for part in path[1:])
        if error.validator in _OF_THE_ANSWER:
            continue
        absent = error.validator == "required"
        value = "(absent)" if absent else _shown(error.instance)
        rule = _RULES.get(str(error.validator), error.message)
        yield _error(IssueCode.BROKEN_SCHEMA, file, index, rule, value, "Answer" if absent else field)


def _answer_issues(predictions: Any, file: str) -> Iterator[Issue]:
    """What is wrong with the text of Answers: all that the schema refuses, named, and what no pattern can express."""
    for index, row in enumerate(predictions if isinstance(predictions, list) else ()):
        answer = row.get("Answer") if isinstance(row, dict) else None
        if isinstance(answer, str) and (fault := answer_fault(answer)):
            rule = f"an Answer is one visible line; this one {fault}"
            yield _error(IssueCode.BROKEN_SCHEMA, file, index, rule, _shown(answer), "Answer")


_OF_THE_ANSWER = ("pattern", "maxLength")
"""The schema's rules for an Answer's text, which `answer_fault` knows better."""

_RULES = {
    "required": "every row has an Answer",
    "minItems": "at least one row",
}


def _row_issues(rows: list[Record], questions: Sequence[Question], file: str) -> Iterator[Issue]:
    expected = [_key(question.record) for question in questions]
    found = [_key(row) for row in rows]
    if expected == found:
        for index, (row, question) in enumerate(zip(rows, questions, strict=True)):
            yield from _field_issues(index, row, question, file)
        return
    missing, surplus = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if not missing and not surplus:
        index = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
        where = questions[index].where
        rule = f"rows stand in input order; {where} belongs here"
        yield _error(IssueCode.MISPLACED_ROW, file, index, rule, visible(found[index], _SHOWN))
    for question, key in zip(questions, expected, strict=True):
        if missing[key] > 0:
            missing[key] -= 1
            rule = f"the record {question.where} has a row (matched by ImageName and Question)"
            yield _error(IssueCode.MISSING_ROW, file, None, rule, visible(key, _SHOWN))
    for index, key in reversed(list(enumerate(found))):
        if surplus[key] > 0:
            surplus[key] -= 1
            rule = "every row answers one input record, once, with ImageName and Question unchanged"
            yield _error(IssueCode.SURPLUS_ROW, file, index, rule, visible(key, _SHOWN))


def _field_issues(index: int, row: Record, question: Question, file: str) -> Iterator[Issue]:
    for field in [*question.record, *(name for name in row if name not in question.record)]:
        if field == "Answer":
            continue
        if field not in row:
            rule, value = f"the field is kept from {question.where}", "(absent)"
        elif field not in question.record:
            rule, value = f"no field is added to {question.where}", _shown(row[field])
        elif json.dumps(row[field], sort_keys=True) != json.dumps(question.record[field], sort_keys=True):
            rule, value = f"the value equals that of {question.where}", _shown(row[field])
        else:
            continue
        yield _error(IssueCode.CHANGED_FIELD, file, index, rule, value, field)


def _key(record: Record) -> str:
    return json.dumps([record.get("ImageName"), record.get("Question")], sort_keys=True)


def _shown(value: Any) -> str:
    return visible(json.dumps(value), _SHOWN)


def write_predictions(rows: Sequence[Record], questions: Sequence[Question], file: Path) -> None:
    """Writes a predictions file atomically: it appears complete and checked, or not at all.

    Args:
        rows: The answered records, in output order.
        questions: The questions they answer.
        file: The file, such as predictions.json in the output folder.

    Raises:
        OutputError: The rows, read back from the disk, break the schema or do not match the questions.
        EnvironmentProblem: The folder cannot be written.
    """
    with atomic_file(file, "Free space on the disk or make the output folder writable.") as draft:
        with draft.open("w", encoding="ascii") as writer:
            # Escaped to ASCII: a lone surrogate in a record, legal in JSON, has no UTF-8 form.
            try:
                json.dump(rows, writer, indent=1, allow_nan=False)
            except ValueError as error:
                raise OutputError(f"A record has a value that JSON does not have ({error})", _READ_AGAIN) from error
            writer.write("\n")
        issues = find_issues(parse_strictly(draft.read_bytes()), questions)
        if issues:
            first = issues[0]
            place = f"row {first.index}, field {first.field or '(row)'}" if first.index is not None else "the file"
            raise OutputError(
                f"{len(issues)} faults in the predictions; first: {place}: {first.message}, got {first.value}",
                "This is a fault of the program: please report it; the answers are kept in the journal beside it.",
            )
