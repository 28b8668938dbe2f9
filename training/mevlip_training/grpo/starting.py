"""Starting GRPO runs in the training environment, one after another, and packing what comes out of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.core.errors import CheckpointError, EnvironmentProblem, InputError, TrainingFailed
from mevlip.core.progress import Progress
from mevlip_training.adapters import pack_weights
from mevlip_training.bases import identify_base
from mevlip_training.card import CARD_NAME
from mevlip_training.grpo.card import Summary, grpo_card
from mevlip_training.grpo.log import LOG_NAME, read
from mevlip_training.grpo.plan import GrpoRun
from mevlip_training.grpo.rewards import rewards_of
from mevlip_training.grpo.runner import FAILURE_NAME
from mevlip_training.llamafactory import LOG_NAME as OUTPUT_NAME
from mevlip_training.llamafactory import absent, run_guarded, training_python
from mevlip_training.resuming import RESOLVED_NAME, begin, holding

HEADER = ("adapter", "rows", "steps", "first reward", "last reward", "KL", "time")
"""Columns of `train_grpo`: mean rewards of the log's first and last tenth, the latter's divergence, h:mm:ss."""


def refuse_unfit(runs: Sequence[GrpoRun]) -> None:
    """Refuses runs whose packages the training environment lacks.

    Raises:
        EnvironmentProblem: It is not there, or a package is not.
    """
    wanted = {name for run in runs for task in run.rewards for reward in rewards_of(task) for name in reward.packages}
    if missing := absent(["trl", "peft", "mevlip_training", *sorted(wanted)]):
        raise EnvironmentProblem(
            f"The environment of {training_python()} lacks {', '.join(missing)}",
            "Make it again with `make train-env`, or pip install -c constraints/train.txt 'me-vlip[train]' there.",
        )


def train(run: GrpoRun, quiet: bool = False) -> None:
    """Runs one training to its end, from the last saved step where there is one; a finished run is left as it is.

    Raises:
        InputError: The output folder holds a run with other settings, rows or another start.
        EnvironmentProblem: The training environment is absent.
        TrainingFailed: It failed, or the monitor ended it.
    """
    if not begin(run.output, run.config):
        return
    failure = run.output / FAILURE_NAME
    failure.unlink(missing_ok=True)
    command = [str(training_python()), "-m", "mevlip_training.grpo.runner", str((run.output / RESOLVED_NAME).resolve())]
    with Progress(f"training {run.adapter}", run.steps, "steps", quiet) as progress:

        def look() -> None:
            with suppress(InputError):  # no step yet
                progress.reach(read(run.output / LOG_NAME)[-1].step)

        try:
            run_guarded(command, run.output / OUTPUT_NAME, look, f"GRPO of {run.adapter}")
        except TrainingFailed as error:
            if failure.is_file():
                raise TrainingFailed(**json.loads(failure.read_bytes())) from error
            raise


def pack(run: GrpoRun, folder: Path) -> Summary:
    """Writes an adapter folder of a checkpoint: weights, adapter_config.json, route.json, model card.

    Args:
        run: The finished run.
        folder: The adapter's folder.

    Returns:
        What the run did.

    Raises:
        CheckpointError: The weights are unusable, or are those that the run started from.
    """
    from safetensors.torch import load_file

    route = run.route.model_copy(update={"base_assumed": False})
    packed = pack_weights(run.output, folder, route, identify_base(str(run.base), ""))
    old, new = (load_file(one / WEIGHTS_NAME) for one in (run.start, run.output))
    if all(value.equal(new[key].to(value.dtype)) for key, value in old.items()):
        raise CheckpointError(
            f"{run.output} ended with the weights that it started from",
            "Train longer, or with a greater learning_rate.",
        )
    summary = Summary.of(read(run.output / LOG_NAME))
    (folder / CARD_NAME).write_text(grpo_card(run, packed, summary), "utf-8")
    return summary


def train_grpo(runs: Sequence[GrpoRun], adapters: Path, quiet: bool = False) -> list[Sequence[Any]]:
    """Trains and packs several adapters, one after another; their output folders are held for all that time.

    Args:
        runs: The planned runs.
        adapters: Parent of the packed adapter folders.
        quiet: Whether to show no progress.

    Returns:
        Rows of `HEADER`.

    Raises:
        EnvironmentProblem: Another training is writing into one of the folders.
    """
    table: list[Sequence[Any]] = []
    with holding(run.output for run in runs):
        for run in runs:
            train(run, quiet)
            summary = pack(run, adapters / run.adapter)
            apart = "-" if summary.kl is None else f"{summary.kl:.2g}"
            rewards = round(summary.first, 3), round(summary.last, 3)
            clock = str(timedelta(seconds=round(summary.seconds)))
            table.append((run.adapter, len(run.questions), summary.steps, *rewards, apart, clock))
    return table
