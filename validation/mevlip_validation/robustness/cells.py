"""What a system answered about one perturbation at one level, and keeping it on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mevlip.core.files import LARGEST_LIST, read_bounded, write_text_atomically
from mevlip_validation.matching import Row
from mevlip_validation.robustness.sampling import Sample

logger = logging.getLogger(__name__)

NO_BOX_LEFT = "less than a quarter of each of its boxes is left in the picture"
"""Why a question about boxes counts for nothing."""


@dataclass(frozen=True)
class Severity:
    """How strongly a picture was perturbed; see `Perturbed`."""

    parameter: float | None
    ssim: float
    reached: bool | None


@dataclass(frozen=True)
class Outcome:
    """One question of a cell.

    Attributes:
        number: Its place in the sample.
        row: Its truth, moved with the picture, and the answer.
        adapter: The adapter that answered.
        task: The kind of answer that was asked for.
        stage: How the answer was read; see `mevlip.answers.ParsedAnswer`.
        severity: How strongly its first picture was perturbed; None without one, and where the picture is clean.
        fault: Why the question counts for nothing: it was not asked, the model broke, or `NO_BOX_LEFT`; empty for all
            others.
    """

    number: int
    row: Row
    adapter: str
    task: str
    stage: str
    severity: Severity | None = None
    fault: str = ""


@dataclass(frozen=True)
class Cell:
    """The answers of one system to all questions that a perturbation reaches.

    Attributes:
        system: The system's name.
        perturbation: The perturbation's name, or `CLEAN`.
        level: 1 to 5; 0 for clean pictures.
        outcomes: The questions, in the sample's order.
    """

    system: str
    perturbation: str
    level: int
    outcomes: tuple[Outcome, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Truth and answer of each question that counts."""
        return tuple(one.row for one in self.outcomes if not one.fault)


class CellStore:
    """Finished cells in a folder, each in a file of its own, which appears whole or not at all.

    Args:
        folder: The folder; None to keep nothing.
        sample: The questions.
        identity: What answers depend on besides system, perturbation and level. A cell of another identity is left
            where it is.
    """

    def __init__(self, folder: Path | None, sample: Sample, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._sample = sample
        self._identity = identity

    def read(self, system: str, routing: str, perturbation: str, level: int) -> Cell | None:
        """A finished cell; None where there is none, or none that can be read."""
        path = self._path(system, routing, perturbation, level)
        if path is None or not path.exists():
            return None
        try:
            content = json.loads(read_bounded(path, LARGEST_LIST))
            outcomes = tuple(self._outcome(**one) for one in content["outcomes"])
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            logger.warning("%s cannot be used (%s); its questions are asked again", path, error)
            return None
        return Cell(system, perturbation, level, outcomes)

    def write(self, cell: Cell, routing: str) -> None:
        """Keeps a finished cell.

        Raises:
            EnvironmentProblem: It cannot be written.
        """
        path = self._path(cell.system, routing, cell.perturbation, cell.level)
        if path is None:
            return
        outcomes = [_plain(one, self._sample.items[one.number].row) for one in cell.outcomes]
        content = {"system": cell.system, "perturbation": cell.perturbation, "level": cell.level, "outcomes": outcomes}
        write_text_atomically(path, json.dumps(content) + "\n")

    def _path(self, system: str, routing: str, perturbation: str, level: int) -> Path | None:
        if self._folder is None:
            return None
        what = {**self._identity, "routing": routing, "perturbation": perturbation, "level": level}
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{perturbation}-{level}-{system}-{digest[:16]}.json"

    def _outcome(
        self, number: int, answer: str, severity: Sequence[Any] | None, truth: Any = None, **known: str
    ) -> Outcome:
        row = self._sample.items[number].row
        row = replace(row, answers=(answer,), turn=0, **({} if truth is None else {"truth": truth}))
        return Outcome(number, row, severity=Severity(*severity) if severity else None, **known)


def _plain(one: Outcome, clean: Row) -> dict[str, Any]:
    """An outcome as JSON has it; the truth only where it was moved."""
    moved = {"truth": one.row.truth} if one.row.truth != clean.truth else {}
    severity = None if one.severity is None else [one.severity.parameter, one.severity.ssim, one.severity.reached]
    known = {"adapter": one.adapter, "task": one.task, "stage": one.stage, "fault": one.fault}
    return {"number": one.number, "answer": one.row.answer, "severity": severity, **moved, **known}
