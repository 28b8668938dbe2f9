"""The log of a run: a JSON line for each step, without a word of questions or answers, and its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mevlip.core.errors import InputError
from mevlip.core.files import LARGEST_LIST, read_bounded, writing
from mevlip.core.tables import table
from mevlip_training.grpo.steps import Step

LOG_NAME = "grpo-log.jsonl"
"""The log's name in the folder of its run."""
_UNLOGGED = "commonest"
_REMEDY = "Name the log or the folder of a GRPO run."


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
        raise InputError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
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
        raise InputError(f"{path} has no step of a GRPO run", _REMEDY)
    return steps


def show(steps: Sequence[Step], lines: int = 20) -> str:
    """The table of a log: as many steps as asked for, evenly spaced, the first and the last among them."""
    places = sorted({round(line * (len(steps) - 1) / max(lines - 1, 1)) for line in range(lines)})
    names = list(dict.fromkeys(name for step in steps for name in step.parts))
    header = ("step", "reward", *names, "tokens", "longest", "at cap", "KL", "loss", "zero variance", "seconds")
    return table(header, [_row(steps[place], names) for place in places])


def _row(step: Step, names: Sequence[str]) -> list[str]:
    return [
        str(step.step),
        f"{step.total.mean:.3f} ±{step.total.std:.3f}",
        *(f"{step.parts[name].mean:.3f}" if name in step.parts else "-" for name in names),
        f"{step.length_mean:.1f}",
        str(step.length_max),
        f"{step.at_cap:.0%}",
        "-" if step.kl is None else f"{step.kl:.4f}",
        "-" if step.loss is None else f"{step.loss:.4f}",
        f"{step.flat:.0%}",
        f"{step.seconds:.1f}",
    ]
