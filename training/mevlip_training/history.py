"""What a whole run did, however often it was stopped and started again.

LLaMA-Factory's train_results.json is of the last start alone, and divides the loss since then by the steps of all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from mevlip.core.errors import CheckpointError

RESULTS_NAME = "train_results.json"
"""LLaMA-Factory writes it when a run has reached its end."""
PROGRESS_NAME = "trainer_log.jsonl"
"""LLaMA-Factory appends a JSON line with current_steps, elapsed_time and more to it at each logged step."""
STATE_NAME = "trainer_state.json"
"""The Trainer writes it last into a folder of a saved step, and once more at the end of the run."""
_STARTS_NAME = "starts.txt"
"""Size of that file in bytes at each start of the run, a line each."""


@dataclass(frozen=True)
class Validated:
    """What validation said of a run, however often it was started.

    Attributes:
        step: The step with the least loss, whose weights are kept.
        loss: That loss.
        last: The loss of the last step.
    """

    step: int
    loss: float
    last: float


@dataclass(frozen=True)
class History:
    """A finished run.

    Attributes:
        steps: Optimizer steps that were trained.
        epochs: Passes over its rows.
        loss: Mean loss of all steps, as far as they were logged where the run was started several times.
        seconds: Training time of all starts, repeated steps included.
        starts: How often it was started, so far as this was logged.
        validated: What validation said; None where the run had none, and the last step's weights are kept.
    """

    steps: int
    epochs: float
    loss: float
    seconds: float
    starts: int
    validated: Validated | None = None


def read_results(output: Path) -> dict[str, Any] | None:
    """What LLaMA-Factory wrote at the end of a run; None where it has not reached it."""
    try:
        results = json.loads((output / RESULTS_NAME).read_bytes())
        return results if {"train_loss", "train_runtime", "epoch"} <= results.keys() else None
    except (OSError, ValueError, AttributeError):  # not there, or written by half
        return None


def note_start(output: Path) -> None:
    """Notes that a run is started, to be called before each start: which part of the log is whose."""
    log = output / PROGRESS_NAME
    with (output / _STARTS_NAME).open("a", encoding="ascii") as file:
        file.write(f"{log.stat().st_size if log.is_file() else 0}\n")


def read_log(output: Path) -> list[dict[str, Any]]:
    """The logged steps of a run in the order of their writing."""
    return [entry for start in _read_starts(output) for entry in start]


def read_history(output: Path, results: dict[str, Any], validated: bool = False) -> History:
    """Reads what a finished run did.

    Args:
        output: Its output folder.
        results: What `read_results` read there.
        validated: Whether it had validation rows.

    Raises:
        CheckpointError: It had, and its record of the best step is missing or damaged.
    """
    starts = [start for start in _read_starts(output) if start]
    return History(
        steps=starts[-1][-1]["current_steps"] if starts else 0,
        epochs=float(results["epoch"]),
        loss=_mean_loss(starts) if len(starts) > 1 else float(results["train_loss"]),
        seconds=sum(_seconds(start[-1]) for start in starts[:-1]) + float(results["train_runtime"]),
        starts=len(starts),
        validated=_read_validated(output / STATE_NAME) if validated else None,
    )


def _read_validated(state_file: Path) -> Validated:
    """The Trainer takes its state along when it is resumed, so this is of all starts."""
    try:
        state = json.loads(state_file.read_bytes())
        losses = {int(one["step"]): float(one["eval_loss"]) for one in state["log_history"] if "eval_loss" in one}
        step = int(state["best_global_step"])
        return Validated(step, losses[step], losses[max(losses)])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{state_file} does not tell the step with the least validation loss ({type(error).__name__})",
            "Remove the run's folder and train again.",
        ) from error


def _read_starts(output: Path) -> list[list[dict[str, Any]]]:
    """The log's entries by start."""
    try:
        log = (output / PROGRESS_NAME).read_bytes()
    except OSError:
        return []
    noted = output / _STARTS_NAME
    begins = [int(line) for line in noted.read_text("ascii").split()] if noted.is_file() else []
    ends = [*begins, len(log)]
    return [[*_entries(log[begin:end])] for begin, end in pairwise([0, *ends])]


def _entries(log: bytes) -> Iterator[dict[str, Any]]:
    """The entries of a part of a log; a line that is written by half is left out."""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            yield entry | {key: int(entry[key]) for key in ("current_steps", "total_steps")}
        except (ValueError, TypeError, KeyError, RecursionError):
            continue


def _mean_loss(starts: list[list[dict[str, Any]]]) -> float:
    """The mean of the logged losses, each of which is the mean of the steps since the one before."""
    losses = {entry["current_steps"]: float(entry["loss"]) for start in starts for entry in start if "loss" in entry}
    total, before = 0.0, 0
    for step, loss in sorted(losses.items()):
        total += loss * (step - before)
        before = step
    return total / before if before else float("nan")


def _seconds(entry: dict[str, Any]) -> float:
    """The clock of an entry, which LLaMA-Factory writes as str(timedelta): `1 day, 2:03:04`."""
    days, _, clock = str(entry.get("elapsed_time", "0:00:00")).rpartition(", ")
    hours, minutes, seconds = map(int, clock.split(":"))
    return timedelta(int(days.split()[0]) if days else 0, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
