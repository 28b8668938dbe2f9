"""What can be wrong with question files, images, answers and predictions: one type for all checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Literal

from mevlip.core.tables import write_csv

Severity = Literal["error", "warning"]


class IssueCode(StrEnum):
    """Codes of issues.

    Those of images and answers are sorted worst first: of several, a record's first one is the reason why it is left
    out of training.
    """

    UNREADABLE_IMAGE = "missing or unreadable image"
    SINGLE_COLOR = "image of one color"
    BLANK = "blank image"
    TINY = "tiny image"
    EXTREME_RATIO = "extreme aspect ratio"
    UNEXPECTED_COLOR = "color where gray is expected"
    SAME_IMAGE = "same image under two names"
    NO_IMAGE = "no image named"
    NO_QUESTION = "no question text"
    NO_OPTIONS = "no options to choose from"
    REPEATED_QUESTION = "repeated question"

    EMPTY_ANSWER = "empty answer"
    UNLISTED_OPTION = "answer that is not an option"
    SEVERAL_LETTERS = "several letters for one"
    UNLISTED_LABEL = "label outside the list"
    UNPARSABLE_BOXES = "unparsable boxes"
    ZERO_AREA = "box without area"
    OUTSIDE = "box beyond the image"
    UNPARSABLE_COUNT = "unparsable count"
    IMPOSSIBLE_COUNT = "negative or fractional count"
    UNPARSABLE_MEASUREMENT = "unparsable measurement"
    FAR_MEASUREMENT = "measurement out of range"
    NOT_TEXT = "answer that is not text"
    CONFLICT = "conflicting answers"
    REPEATED_ROW = "repeated row"
    SHARED_IMAGE = "image shared by splits"
    NEAR_IMAGE = "image nearly that of another split"

    INVALID_JSON = "invalid JSON"
    BROKEN_SCHEMA = "broken schema"
    MISSING_ROW = "missing row"
    SURPLUS_ROW = "surplus row"
    MISPLACED_ROW = "misplaced row"
    CHANGED_FIELD = "changed field"


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong in one place.

    Attributes:
        severity: `error` where an answer, a training row or the whole file is lost, else `warning`.
        code: What is wrong.
        file: The file, relative to the folder that was checked.
        index: The record's index in it; None where the issue is the whole file's.
        message: The cause in words, or the rule that is broken.
        dataset: The record's data set; empty where that does not apply.
        image: The image's name; empty where the issue is not an image's.
        field: The record's field; empty where the issue is not a field's.
        value: The offending value as JSON, shortened; empty where that does not apply.
        left_out: Whether `mevlip data prepare` leaves the record out.
    """

    severity: Severity
    code: IssueCode
    file: str
    index: int | None
    message: str
    dataset: str = ""
    image: str = ""
    field: str = ""
    value: str = ""
    left_out: bool = False

    @property
    def where(self) -> str:
        """The place, for messages: the file, and the record's number in it."""
        return self.file if self.index is None else f"{self.file}[{self.index}]"


def write_issues(issues: Iterable[Issue], path: Path) -> None:
    """Writes one line of CSV for each issue, a column for each attribute.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    write_csv(path, (one.name for one in fields(Issue)), map(astuple, issues))
