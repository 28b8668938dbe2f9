"""A training's output folder: whose it is, what a killed run leaves there, and what a later start may go on from."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.core.errors import InputError, TrainingFailed
from mevlip.core.files import file_sha256, writing
from mevlip.core.locks import locked
from mevlip_training.history import STATE_NAME
from mevlip_training.runs import is_finished, read_yaml

logger = logging.getLogger(__name__)

RESOLVED_NAME = "config.yaml"
"""All that a run is given, in its folder."""
_STEPS = "checkpoint-*[0-9]"
_SUFFIX = ".incomplete"


@contextmanager
def holding(outputs: Iterable[Path]) -> Iterator[None]:
    """Makes output folders where they are absent and holds them.

    Raises:
        EnvironmentProblem: Another training is writing into one of them, or it cannot be written.
    """
    with ExitStack() as held:
        for output in dict.fromkeys(outputs):
            with writing(output):
                output.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(output, "Wait until it has ended, or name another --out."))
        yield


def begin(output: Path, config: Mapping[str, Any], origin: str = "") -> bool:
    """Writes a run's config into its folder, and makes the folder ready for a start.

    Args:
        output: The run's folder.
        config: Its settings.
        origin: What else decides its weights, in a line.

    Returns:
        Whether it is to be started: not where it has reached its end.

    Raises:
        InputError: The folder holds a run with another config or origin.
    """
    import yaml

    path, header = output / RESOLVED_NAME, f"# {origin}\n" if origin else ""
    if path.is_file() and (read_yaml(path) != config or not path.read_text("utf-8").startswith(header)):
        raise InputError(
            f"{output} holds a run with other settings, of other rows or from another start",
            "Name another --out, or remove that folder first.",
        )
    if is_finished(output):
        logger.info("finished earlier, in %s", output)
        return False
    output.mkdir(parents=True, exist_ok=True)
    set_aside_incomplete(output)
    path.write_text(header + yaml.safe_dump(dict(config), sort_keys=False), "utf-8")
    return True


def set_aside_incomplete(output: Path) -> None:
    """Renames saved steps that were written or deleted by half, so that the next start takes the last whole one.

    Weights of a run that was killed between their writing and its end are renamed, too: LLaMA-Factory refuses a folder
    that has them and no saved step.

    Args:
        output: The output folder of a run that is not finished.
    """
    for folder in sorted(output.glob(_STEPS)):
        if missing := _incomplete(folder):
            _rename(folder, f"it was not written to its end ({missing}), so training goes on from an earlier step")
    if (output / WEIGHTS_NAME).is_file():
        _rename(output / WEIGHTS_NAME, "the run was stopped after writing it, so it is written again")


def last_saved(output: Path) -> Path | None:
    """The folder of a run's last saved step; None before the first."""
    folders = [path for path in output.glob(_STEPS) if path.name.removeprefix("checkpoint-").isdigit()]
    return max(folders, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def check_best_kept(output: Path, step: int) -> None:
    """Checks that a run ended with the weights of its best step.

    The Trainer only warns where it does not find them, and keeps the last step's.

    Args:
        output: The output folder of a run that has just ended.
        step: Its best step.

    Raises:
        TrainingFailed: It did not; its weights were renamed, so that the run is not taken for a finished one.
    """
    best = output / f"checkpoint-{step}" / WEIGHTS_NAME
    if not best.is_file() or file_sha256(best) != file_sha256(output / WEIGHTS_NAME):
        _rename(output / WEIGHTS_NAME, f"these are not the weights of step {step}, the best on validation rows")
        raise TrainingFailed(
            f"{output} ended with other weights than those of step {step}, the best on validation rows",
            f"Was {best.parent} changed or removed? Remove {output} and train again.",
        )


def _rename(path: Path, why: str) -> None:
    target, count = path.with_name(path.name + _SUFFIX), 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}{_SUFFIX}-{count}")
    path.rename(target)
    logger.warning("%s was renamed to %s: %s", path, target.name, why)


def _incomplete(folder: Path) -> str:
    """The first file of a saved step that is missing or damaged; empty where all are whole."""
    import safetensors

    try:
        with safetensors.safe_open(folder / WEIGHTS_NAME, "numpy"):
            pass
    except (OSError, safetensors.SafetensorError):
        return WEIGHTS_NAME
    pickled = {path.name: path for path in (*folder.glob("*.pt"), *folder.glob("*.pth"))}
    wanted = {"scheduler.pt"} if any(folder.glob("global_step*")) else {"scheduler.pt", "optimizer.pt"}  # DeepSpeed's
    for name in sorted(wanted | pickled.keys()):
        if name not in pickled or not zipfile.is_zipfile(pickled[name]):  # a zip archive's index stands at its end
            return name
    if not any(name.startswith("rng_state") for name in pickled):
        return "rng_state.pth"
    try:
        step = json.loads((folder / STATE_NAME).read_bytes())["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return STATE_NAME
    return "" if folder.name == f"checkpoint-{step}" else STATE_NAME
