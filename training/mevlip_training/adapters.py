"""Training the eight adapters with LLaMA-Factory's own command, and packing what comes out of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import CONFIG_NAME, WEIGHTS_NAME
from mevlip.checkpoints.fingerprints import BaseFingerprint, adapter_fingerprint
from mevlip.checkpoints.routes import Route, write_route
from mevlip.core.errors import CheckpointError
from mevlip.core.progress import Progress
from mevlip_training.bases import identify_base
from mevlip_training.card import CARD_NAME, model_card
from mevlip_training.history import History
from mevlip_training.llamafactory import run_training
from mevlip_training.resuming import RESOLVED_NAME, begin, check_best_kept, holding
from mevlip_training.runs import AdapterRun, origin_of

logger = logging.getLogger(__name__)

HEADER = ("adapter", "rows", "steps", "loss", "kept step", "validation loss", "time")
"""Columns of `train_adapters`: the mean training loss, the step that is packed and its validation loss, h:mm:ss."""


def train(run: AdapterRun, quiet: bool = False) -> None:
    """Runs one training to its end, from the last saved step where there is one; a finished run is left as it is.

    Raises:
        InputError: The output folder holds a run with other settings, other rows or another start, or the start is not
            trained.
        EnvironmentProblem: LLaMA-Factory is absent.
        TrainingFailed: It failed, or did not end with the weights of the best step.
    """
    if not begin(run.output, run.settings, origin_of(run)):
        return
    with Progress(f"training {run.adapter}", run.steps, "steps", quiet) as progress:
        run_training(run.output / RESOLVED_NAME, run.output, lambda step, _: progress.reach(step))
    if (history := run.history) and history.validated:
        check_best_kept(run.output, history.validated.step)


def pack(run: AdapterRun, folder: Path, base: BaseFingerprint | None) -> History:
    """Writes an adapter folder of a checkpoint: weights, adapter_config.json, route.json, model card.

    Weights are stored in bfloat16, in which the predictor computes. A path of this machine does not go along. The
    route says which weights, which settings and which base it was written for.

    Args:
        run: The finished run.
        folder: The adapter's folder.
        base: The base that it was trained on; None where its files are not known.

    Returns:
        What the run did.

    Raises:
        CheckpointError: The run is not finished, or its weights are unusable.
    """
    history = run.history
    if history is None:
        raise CheckpointError(f"{run.output} holds no finished run", f"Train {run.adapter} to its end first.")
    route = pack_weights(run.output, folder, run.route, base)
    (folder / CARD_NAME).write_text(model_card(run, route, history), "utf-8")
    return history


def pack_weights(output: Path, folder: Path, route: Route, base: BaseFingerprint | None) -> Route:
    """Writes an adapter folder of a checkpoint but for its model card.

    Args:
        output: The folder of a finished run.
        folder: The adapter's folder.
        route: The route of its training.
        base: The base that it was trained on; None where its files are not known.

    Returns:
        The route that was written: it says which weights, which settings and which base it is for.

    Raises:
        CheckpointError: The weights are unusable.
    """
    from safetensors.torch import load_file, save_file

    weights = load_file(output / WEIGHTS_NAME)
    _check_learned(route.adapter, weights)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({key: value.bfloat16() for key, value in weights.items()}, folder / WEIGHTS_NAME, {"format": "pt"})
    config = json.loads((output / CONFIG_NAME).read_bytes())
    config |= {"base_model_name_or_path": route.base_model, "revision": route.base_revision}
    if isinstance(config["target_modules"], list):  # a set in peft, so its order is accidental
        config["target_modules"].sort()
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", "utf-8")
    known = {"version": 3, "base_fingerprint": base, "adapter_fingerprint": adapter_fingerprint(folder)}
    packed = route.model_copy(update=known)
    write_route(folder, packed)
    return packed


def _check_learned(adapter: str, weights: dict[str, Any]) -> None:
    for key, value in weights.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"adapter {adapter!r}: {key} is not finite", "Train again with a lower learning rate."
            )
        if "lora_B" in key and not value.any():
            raise CheckpointError(f"adapter {adapter!r}: {key} is all zero", "Train for at least a few steps.")


def train_adapters(runs: Sequence[AdapterRun], adapters: Path, quiet: bool = False) -> list[Sequence[Any]]:
    """Trains and packs several adapters, one after another; their output folders are held for all that time.

    Args:
        runs: The planned runs.
        adapters: Parent of the packed adapter folders.
        quiet: Whether to show no progress.

    Returns:
        Rows of `HEADER`; steps, loss and time are of all starts of a run together.

    Raises:
        EnvironmentProblem: Another training is writing into one of the folders.
    """
    table: list[Sequence[Any]] = []
    bases: dict[tuple[str, str], BaseFingerprint | None] = {}  # hashing 16 GB takes a minute; runs mostly share a base
    with holding(run.output for run in runs):
        for run in runs:
            named = (str(run.settings["model_name_or_path"]), str(run.settings.get("model_revision", "main")))
            bases[named] = bases.get(named) or identify_base(*named)
            train(run, quiet)
            bases[named] = base = bases[named] or identify_base(*named)  # the run may have fetched it
            if base is None:
                logger.warning(
                    "%s: the files of its base, %s, were not found on this machine, so its route does not identify "
                    "them; `mevlip checkpoint assemble` will record the base that it is given",
                    run.adapter,
                    named[0],
                )
            history = pack(run, adapters / run.adapter, base)
            clock = str(timedelta(seconds=round(history.seconds)))
            found = history.validated
            kept = (found.step, round(found.loss, 4)) if found else (history.steps, "-")
            table.append((run.adapter, run.rows, history.steps, round(history.loss, 4), *kept, clock))
    return table
