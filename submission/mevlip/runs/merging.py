"""What a shard's run leaves beside its predictions, and joining all shards to the predictions of the whole folder."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, NonNegativeInt, ValidationError

from mevlip.checkpoints.records import FrozenModel, first_error
from mevlip.core.errors import EnvironmentProblem, OutputError
from mevlip.core.files import LARGEST_LIST, file_sha256, open_regular, read_bounded, real_path, write_text_atomically
from mevlip.core.text import visible
from mevlip.flare.predictions import answered, find_issues, parse_strictly, write_predictions
from mevlip.flare.questions import PREDICTIONS_NAME, InputFolder, Question, Record
from mevlip.flare.shards import Shard
from mevlip.runs.output import OWN_PREFIX
from mevlip.runs.report import RunReport
from mevlip.settings import PredictorSettings, RunSettings

SHARD_NAME = f"{OWN_PREFIX}shard.json"
"""Lies beside a shard's predictions.json and says what they are a part of."""


class ShardRecord(FrozenModel):
    """What a shard's predictions are a part of, and how they were made.

    Attributes:
        shard: The part, such as `2/8`.
        input_sha256: Digest of all question records of the input folder.
        checkpoint: Name of the checkpoint's folder.
        identity: What the answers depend on besides the questions: version, checkpoint, device, settings.
        positions: The place of each row among all questions.
        late: How many questions were not asked for want of time.
        failures: How many questions the model failed on.
        predictions_sha256: Digest of the shard's predictions.json.
    """

    shard: Annotated[str, AfterValidator(lambda text: str(Shard.parse(text)))]
    input_sha256: str
    checkpoint: str
    identity: dict[str, Any]
    positions: tuple[NonNegativeInt, ...]
    late: NonNegativeInt
    failures: NonNegativeInt
    predictions_sha256: str

    def fits(self, identity: Mapping[str, Any], questions: Sequence[Question]) -> bool:
        """Whether a run of this identity over these questions of the whole input would make it again."""
        return {**self.identity, "shard": self.shard} == identity and self.input_sha256 == input_digest(questions)


def input_digest(questions: Sequence[Question]) -> str:
    """A digest of all question records of a folder and of their places."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(json.dumps([question.file, question.index, question.record], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def record_shard(
    report: RunReport, folder: InputFolder, questions: Sequence[Question], checkpoint: Path, identity: Mapping[str, Any]
) -> None:
    """Writes what a shard's predictions are a part of, once these are written.

    Args:
        report: What the shard's run did.
        folder: The whole input.
        questions: The questions of the shard.
        checkpoint: The checkpoint's folder.
        identity: What the run's answers depend on besides the questions, its shard included.
    """
    rest = dict(identity)
    record = ShardRecord(
        shard=rest.pop("shard"),
        input_sha256=input_digest(folder.questions),
        checkpoint=str(checkpoint),
        identity=rest,
        positions=tuple(question.position for question in questions),
        late=report.late,
        failures=len(report.failures),
        predictions_sha256=file_sha256(report.predictions),
    )
    write_text_atomically(report.predictions.with_name(SHARD_NAME), record.model_dump_json(indent=1) + "\n")


def read_shard(output: Path) -> ShardRecord:
    """Reads what `record_shard` wrote, and proves that the predictions are those it was written for.

    Raises:
        ValueError: The folder does not hold a finished shard; the message continues a sentence about the folder.
    """
    try:
        record = ShardRecord.model_validate_json(read_bounded(output / SHARD_NAME, LARGEST_LIST))
        with open_regular(output / PREDICTIONS_NAME, LARGEST_LIST) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ValueError("does not hold a finished shard") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ValueError(f"has a damaged {SHARD_NAME} ({first_error(error)})") from error
    if found != record.predictions_sha256:
        raise ValueError(f"has another {PREDICTIONS_NAME} than its shard wrote")
    return record


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        predictions: The file written.
        answers: How many answers it holds.
        shards: How many shards they came from.
        late: How many questions the shards had no time to ask.
        failures: How many questions the model failed on.
    """

    predictions: Path
    answers: int
    shards: int
    late: int
    failures: int


def merge_shards(shards: Sequence[Path], folder: InputFolder, output: Path) -> Merged:
    """Joins the predictions of all shards, in input order: the same bytes as a run's that gives the same answers.

    Args:
        shards: The output folders of the shards, each once, in any order.
        folder: The input that they answer.
        output: The folder that receives the whole predictions.json; the caller holds it.

    Raises:
        OutputError: A shard is missing, there twice, unfinished, altered, or of another input, checkpoint, setting or
            version than the others.
        EnvironmentProblem: The output folder is one of the shards' or cannot be written.
    """
    for path in shards:
        if real_path(path) == real_path(output):
            raise EnvironmentProblem(f"{output} is the output folder of a shard", "Name another --out.")
    records = _read_all(shards, folder)
    counts = Counter(position for record in records.values() for position in record.positions)
    faulty = sum(counts[question.position] != 1 for question in folder.questions)
    if faulty:
        raise OutputError(
            f"{faulty} of {len(folder.questions)} questions are in none of the {len(records)} shards or in several",
            "Run all shards again without --limit, and leave the pictures in their places meanwhile.",
        )
    answers: dict[int, str] = {}
    for path, record in records.items():
        answers |= _answers(path, record, folder)
    rows = [answered(question, answers[question.position]) for question in folder.questions]
    path = output / PREDICTIONS_NAME
    write_predictions(rows, folder.questions, path)
    late, failures = (sum(getattr(record, name) for record in records.values()) for name in ("late", "failures"))
    return Merged(path, len(rows), len(records), late, failures)


def _read_all(shards: Sequence[Path], folder: InputFolder) -> dict[Path, ShardRecord]:
    """The records of all shards, which fit together and to the input."""
    records: dict[Path, ShardRecord] = {}
    unfinished: dict[Path, str] = {}
    for path in shards:
        try:
            records[path] = read_shard(path)
        except ValueError as error:
            unfinished[path] = str(error)
    if not records:
        first = f"{shards[0]} {unfinished[shards[0]]}" if shards else "No shard is named"
        raise OutputError(first, f"Run `mevlip predict {shlex.quote(str(folder.root))} FOLDER --shard I/N` first.")
    (first_path, first_record), *others = records.items()
    digest = input_digest(folder.questions)
    for path, record in records.items():
        if record.input_sha256 != digest:
            raise OutputError(
                f"{path} answers other question records than those of {folder.root}",
                "Name the input folder of that run, or run the shard again.",
            )
    for path, record in others:
        if differences := _differences(first_record, record):
            raise OutputError(
                f"{first_path} and {path} were made with another {', '.join(differences)}",
                "Run one of them again as the other was.",
            )
    _check_complete(records, unfinished, folder)
    return records


def _differences(one: ShardRecord, other: ShardRecord) -> list[str]:
    """What two shards should have in common and don't."""
    names = {**one.identity, **other.identity}
    different = [name for name in names if one.identity.get(name) != other.identity.get(name)]
    totals = {Shard.parse(record.shard).total for record in (one, other)}
    return [*(["number of shards"] if len(totals) > 1 else []), *different]


def _check_complete(records: Mapping[Path, ShardRecord], unfinished: Mapping[Path, str], folder: InputFolder) -> None:
    """Proves that every shard is there once."""
    paths = {record.shard: path for path, record in records.items()}
    sample = next(iter(records.values()))
    total = Shard.parse(sample.shard).total
    for shard, count in Counter(record.shard for record in records.values()).items():
        if count > 1:
            twice = [str(path) for path, record in records.items() if record.shard == shard]
            raise OutputError(f"{' and '.join(twice)} hold the same shard {shard}", "Name one of them.")
    missing = [shard for number in range(1, total + 1) if (shard := str(Shard(number, total))) not in paths]
    if missing:
        first = next(iter(unfinished), None)
        cause = f"; {first} {unfinished[first]}" if first else ""
        place = first if first and len(missing) == 1 else "FOLDER"
        raise OutputError(
            f"{len(missing)} of {total} shards are missing: {', '.join(missing[:20])}{cause}",
            f"Run `{visible(rerun(sample, missing[0], folder.root, place))}`"
            f"{' and the like for the others' if missing[1:] else ''}, then merge again.",
        )
    if unfinished:
        [(path, fault), *_] = unfinished.items()
        raise OutputError(f"{path} {fault}", "Leave it out: all shards are there.")


def rerun(record: ShardRecord, shard: str, root: Path, place: Path | str) -> str:
    """The command that makes a shard as another one was made."""
    words = ["mevlip", "predict", str(root), str(place), "--shard", shard, "--checkpoint", record.checkpoint]
    for model in (PredictorSettings, RunSettings):
        for name, field in model.model_fields.items():
            value = record.identity.get(name, field.default)
            flag = name.replace("_", "-")
            if name == "checkpoint" or value == field.default:
                continue
            words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return shlex.join(words)


def _answers(path: Path, record: ShardRecord, folder: InputFolder) -> dict[int, str]:
    """A shard's answers by the position of their questions.

    Raises:
        OutputError: They do not answer the shard's questions.
    """
    questions = [folder.questions[position] for position in record.positions if position < len(folder.questions)]
    try:
        rows: list[Record] = parse_strictly(read_bounded(path / PREDICTIONS_NAME, LARGEST_LIST))
        issues = find_issues(rows, questions)
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{path / PREDICTIONS_NAME} cannot be read ({error})", "Run the shard again.") from error
    if issues:
        raise OutputError(
            f"{path / PREDICTIONS_NAME} does not answer its questions: {issues[0].message}, got {issues[0].value}",
            "Run the shard again.",
        )
    return {question.position: row["Answer"] for question, row in zip(questions, rows, strict=True)}
