"""What can be wrong with an example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

from mevlip.core.tables import write_csv
from mevlip_training.data.records import Example


class Kind(StrEnum):
    """Kinds of faults, worst first: of several, a row's first one is the reason why it is left out."""

    BAD_IMAGE = "missing or unreadable image"
    EMPTY_ANSWER = "empty answer"
    UNLISTED_OPTION = "answer that is no option"
    SEVERAL_LETTERS = "several letters for one"
    UNLISTED_LABEL = "label outside the list"
    UNPARSABLE_BOXES = "unparsable boxes"
    ZERO_AREA = "box without area"
    OUTSIDE = "box beyond the image"
    UNPARSABLE_COUNT = "unparsable count"
    IMPOSSIBLE_COUNT = "negative or broken count"
    UNPARSABLE_MEASUREMENT = "unparsable measurement"
    FAR_MEASUREMENT = "measurement out of range"
    NO_TEXT = "answer that is no text"
    CONFLICT = "conflicting answers"
    REPEAT = "repeated row"
    SHARED_IMAGE = "image shared by splits"


@dataclass(frozen=True)
class Finding:
    """One fault of one record.

    Attributes:
        kind: What is wrong.
        dataset: The record's data set.
        file: Its question file, relative to the tree.
        index: Its index in that file.
        detail: The cause in words.
        left_out: Whether `mevlip data prepare` leaves the record out.
    """

    kind: Kind
    dataset: str
    file: str
    index: int
    detail: str
    left_out: bool

    @property
    def where(self) -> str:
        """The record's place, for messages."""
        return f"{self.file}[{self.index}]"


def finding(kind: Kind, example: Example, detail: str, left_out: bool = True) -> Finding:
    """A finding about an example."""
    return Finding(kind, example.dataset, example.question.file, example.question.index, detail, left_out)


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """Writes one line of CSV for each finding.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    write_csv(path, (field.name for field in fields(Finding)), map(astuple, findings))
