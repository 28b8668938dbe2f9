"""The log of a run: a JSON line for each step, without a word of questions or answers, and its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from mevlip.core.errors import InputError
from mevlip.core.files import LARGEST_LIST, read_bounded, writing
from mevlip.core.tables import table
from mevlip_training.grpo.steps import Step

LOG_NAME = "grpo-log.jsonl"
"""The log's name in the folder of its run."""
_UNLOGGED = "commonest"


def append(path: Path, step: Step) -> None:
    """Adds a step to a log; a last line that was torn is ended first.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    line = step.model_dump_json(exclude={_UNLOGGED})
    with writing(path), path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(f"{line}\n".encode())


def read(path: Path) -> list[Step]:
    """Reads a log; lines that are torn are left out.

    A run that was stopped goes on from its last saved step, so that steps come twice: the later lines count.

    Raises:
        InputError: The file cannot be read, or has no step.
    """
    try:
        content = read_bounded(path, LARGEST_LIST)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Name the log or the folder of a GRPO run.") from error
    steps: list[Step] = []
    for line in content.splitlines():
        try:
            step = Step.model_validate(json.loads(line) | {_UNLOGGED: ""})
        except (ValueError, TypeError, RecursionError):
            continue
        while steps and steps[-1].step >= step.step:
            steps.pop()
        steps.append(step)
    if not steps:
        raise InputError(f"{path} has no step of a GRPO run", "Name the log or the folder of a GRPO run.")
    return steps
