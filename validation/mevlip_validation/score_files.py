"""Reads files of scores, as `mevlip score --json` writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf, isnan, nan
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mevlip.core.errors import InputError, fault_text
from mevlip.core.files import read_bounded
from mevlip.tasks import TASKS, Direction, TaskType

_LARGEST = 64 * 1024 * 1024
"""Most bytes of a file of scores; one with 10,000 missing questions has less than two million."""


@dataclass(frozen=True)
class Column:
    """One measure of one task under one protocol, as it was computed; equal columns hold comparable scores.

    Attributes:
        task: The task, a `TaskType` value.
        measure: Name of the measure.
        protocol: Name of the protocol.
        signature: What exactly was computed; a judgment's ends with the package and model that gave it.
        better: Whether more or less is better.
    """

    task: str
    measure: str
    protocol: str
    signature: str
    better: Direction

    @property
    def place(self) -> tuple[str, str, str]:
        """Where its scores would stand if all were computed alike."""
        return self.task, self.measure, self.protocol

    @property
    def title(self) -> str:
        """The task's title."""
        return TASKS[TaskType(self.task)].title if self.task in {*TaskType} else self.task

    def cost(self, value: float) -> float:
        """A score as a number of which less is better; infinite where there is none."""
        return inf if isnan(value) else -value if self.better == "higher" else value


@dataclass(frozen=True)
class Result:
    """A score with its interval; NaN where there is none.

    Attributes:
        value: The score.
        low: Lower end of the interval.
        high: Its upper end.
        constant: What the best constant answers score.
    """

    value: float
    low: float = nan
    high: float = nan
    constant: float = nan


@dataclass(frozen=True)
class TruthSet:
    """The questions and targets that were scored.

    Attributes:
        name: Name of their file or folder.
        digest: What identifies them.
        questions: Their number.
    """

    name: str
    digest: str
    questions: int


@dataclass(frozen=True)
class Run:
    """One file of scores.

    Attributes:
        name: What it is called: the path without `.json`, or without the file's name where all files have the same.
        file: Its path below the folder.
        predictions: The predictions file as it was named when it was scored.
        written: When.
        version: Version of the package.
        truth: What was scored.
        results: Score of each column, in the file's order.
        mismatches: How many rows were missing, repeated and surplus, by that name; absent where none.
    """

    name: str
    file: str
    predictions: str
    written: datetime
    version: str
    truth: TruthSet
    results: Mapping[Column, Result]
    mismatches: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PassedOver:
    """A JSON file that is not used, and why."""

    name: str
    reason: str


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


_Number = Annotated[float, Field(allow_inf_nan=False)] | Literal["inf", "-inf"] | None


class _Truth(_Model):
    name: str
    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    questions: Annotated[int, Field(ge=1)]


class _Score(_Model):
    task: str
    measure: str
    protocol: str
    signature: str
    better: Direction
    value: _Number
    low: _Number
    high: _Number
    others: dict[str, _Number] = {}


class _File(_Model):
    version: str
    written: AwareDatetime
    predictions: str
    truth: _Truth
    scores: list[_Score]
    scorers: dict[str, str] = {}
    missing: list[str] = []
    duplicates: list[str] = []
    surplus: list[str] = []


def read_runs(folder: Path) -> tuple[list[Run], list[PassedOver]]:
    """Reads every file of scores below a folder.

    Args:
        folder: The folder; links to other folders are not followed.

    Returns:
        The runs by name, and the other JSON files.

    Raises:
        InputError: There is no file of scores.
    """
    runs, others = [], []
    for path in _json_files(folder):
        found = read_run(path, path.relative_to(folder).as_posix())
        if isinstance(found, Run):
            runs.append(found)
        else:
            others.append(found)
    if not runs:
        first = f"; {others[0].name} {others[0].reason}" if others else ""
        raise InputError(f"{folder} has no file of scores{first}", "Write some with mevlip score --json FILE.")
    alike = len({Path(run.file).name for run in runs}) == 1 and all("/" in run.file for run in runs)
    return [replace(run, name=run.file.rpartition("/")[0]) for run in runs] if alike else runs, others


def read_run(path: Path, name: str) -> Run | PassedOver:
    """Reads one file of scores, or says why it is not one.

    Args:
        path: The file.
        name: Its path as it is to be shown.
    """
    try:
        content = _File.model_validate_json(read_bounded(path, _LARGEST))
    except OSError as error:
        return PassedOver(name, f"cannot be read ({error.strerror or error})")
    except ValidationError as error:
        return PassedOver(name, _why(error.errors(include_url=False)))
    counts = {kind: len(getattr(content, kind)) for kind in ("missing", "duplicates", "surplus")}
    return Run(
        name.removesuffix(".json"),
        name,
        content.predictions,
        content.written.astimezone(UTC),
        content.version,
        TruthSet(content.truth.name, content.truth.digest, content.truth.questions),
        {_column(one, content.scorers): _result(one) for one in content.scores},
        {kind: count for kind, count in counts.items() if count},
    )


def _json_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".json"))


def _why(errors: list[Any]) -> str:
    """Why a file is not used: most JSON files are something else, some were written by an older version."""
    absent = {error["loc"][0] for error in errors if error["type"] == "missing" and len(error["loc"]) == 1}
    if any(error["type"] == "json_invalid" for error in errors):
        return "is not JSON"
    if "truth" in absent and "scores" not in absent:
        return "does not say which truth was scored; an older version wrote it: score the predictions again"
    if {"truth", "scores"} & absent or any(not error["loc"] for error in errors):
        return "is not a file of scores"
    place = ".".join(map(str, errors[0]["loc"]))
    return f"is not a file of scores ({place}: {fault_text(errors[0])})"


def _column(one: _Score, scorers: Mapping[str, str]) -> Column:
    scorer = scorers.get(one.measure)
    signature = f"{one.signature} by {scorer}" if scorer else one.signature
    return Column(one.task, one.measure, one.protocol, signature, one.better)


def _result(one: _Score) -> Result:
    return Result(*map(_float, (one.value, one.low, one.high, one.others.get("constant"))))


def _float(value: float | str | None) -> float:
    return nan if value is None else float(value)
