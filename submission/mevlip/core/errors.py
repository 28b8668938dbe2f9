"""Errors that a user can act on. Each knows its exit code and ends with what to do.

The library raises them; only the command line turns them into an exit status. Their text is one line, because an
organizer may show a team no more than the last line of a failed run.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from mevlip.core.text import visible


class ExitCode(IntEnum):
    """Exit statuses of every `mevlip` command."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    ENVIRONMENT = 3
    TOO_MANY_FAILURES = 4
    NO_INPUT = 5
    INVALID_OUTPUT = 6
    NO_ENGINE = 7
    MODEL_FAILED = 8
    TRAINING_FAILED = 9
    INTERRUPTED = 130


class MevlipError(Exception):
    """Base of all errors whose cause lies outside the program.

    Args:
        cause: What is wrong, naming the file, record and field.
        remedy: What the reader can do about it.
    """

    exit_code: ExitCode

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{visible(cause.rstrip('.'))}. {remedy}")
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[MevlipError], tuple[str, str]]:
        """How an error passes from one process to another: by its two arguments, not by its text."""
        return type(self), (self.cause, self.remedy)


def describe(error: Exception) -> str:
    """Names a library's error by its type and first line, at most 200 characters of it."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def fault_text(fault: Mapping[str, Any]) -> str:
    """What pydantic says of one of `ValidationError.errors()`, without its name for errors that validators raise."""
    return str(fault["msg"]).removeprefix("Value error, ")


class EnvironmentProblem(MevlipError):
    """A package, a device or a permission that the run needs is not there."""

    exit_code = ExitCode.ENVIRONMENT


class CheckpointError(MevlipError):
    """The checkpoint folder is incomplete, altered or does not fit together."""

    exit_code = ExitCode.ENVIRONMENT


class ModelFailure(MevlipError):
    """The model, its device or a library broke, and no question is to blame: every later answer would be a fallback."""

    exit_code = ExitCode.MODEL_FAILED


class TrainingFailed(MevlipError):
    """A training run ended with an error, or learned nothing."""

    exit_code = ExitCode.TRAINING_FAILED


class TooManyFailures(MevlipError):
    """The run finished and its output is valid, but the model failed on more questions than allowed."""

    exit_code = ExitCode.TOO_MANY_FAILURES


class TimeLimitReached(MevlipError):
    """The run ended in time and its output is valid, but not every question was asked."""

    exit_code = ExitCode.TOO_MANY_FAILURES


class InputError(MevlipError):
    """The input folder has no question that can be read."""

    exit_code = ExitCode.NO_INPUT


class OutputError(MevlipError):
    """The predictions break the schema or do not match the inputs."""

    exit_code = ExitCode.INVALID_OUTPUT
