"""Finding LLaMA-Factory's own command and running it; it lives in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem, TrainingFailed

COMMAND = "llamafactory-cli"
CONFIGS = Path("llamafactory_configs")
"""The repository's folder of configs, from its root."""
LOG_NAME = "train.log"
PROGRESS_NAME = "trainer_log.jsonl"
"""Written by LLaMA-Factory in its output folder: a JSON line with current_steps and total_steps at each logged step."""

_CPU_HELP = Path(__file__).parent / "cpu"
_ROOT = Path(__file__).resolve().parents[2]
_LINES_SHOWN = 8
_POLL_SECONDS = 0.5


def find_command() -> Path:
    """Finds `llamafactory-cli`: beside this Python, on PATH, or in the `.venv-train` that `make train-env` makes.

    Raises:
        EnvironmentProblem: LLaMA-Factory is not installed.
    """
    beside = Path(sys.executable).parent
    for folder in (str(beside), None, str(_ROOT / ".venv-train" / "bin"), str(Path.cwd() / ".venv-train" / "bin")):
        if found := shutil.which(COMMAND, path=folder):
            return Path(found)
    raise EnvironmentProblem(
        f"{COMMAND} was not found",
        "Install LLaMA-Factory with `make train-env`, or pip install -c constraints/train.txt 'me-vlip[train]'.",
    )


def run_training(config: Path, output: Path, on_progress: Callable[[int, int], object]) -> None:
    """Runs `llamafactory-cli train CONFIG` to its end; everything it prints goes to OUTPUT/train.log.

    A run that was stopped is resumed by LLaMA-Factory from its last saved step.

    Args:
        config: The YAML file.
        output: The run's output folder, as the YAML names it.
        on_progress: Called with the finished and the total number of steps.

    Raises:
        EnvironmentProblem: LLaMA-Factory is not installed.
        TrainingFailed: It ended with an error; its last lines are in the message.
    """
    command = [str(find_command()), "train", str(config)]
    output.mkdir(parents=True, exist_ok=True)
    log = output / LOG_NAME
    with (
        log.open("ab") as file,
        subprocess.Popen(  # noqa: S603 - no shell, our own arguments
            command, stdout=file, stderr=subprocess.STDOUT, env=_environment()
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                on_progress(*_steps(output / PROGRESS_NAME))
        finally:
            process.terminate()
    if process.returncode:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        raise TrainingFailed(
            f"{COMMAND} ended with status {process.returncode} on {config}: {' / '.join(lines[-_LINES_SHOWN:])}",
            f"Read {log}; the same command goes on from the last saved step.",
        )


def _environment() -> dict[str, str]:
    import torch

    if torch.cuda.is_available():
        return dict(os.environ)
    # Elsewhere the training environment may hold packages built for CUDA beside a CPU-only torch: see the folder.
    folders = [str(_CPU_HELP), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def _steps(path: Path) -> tuple[int, int]:
    """The finished and the total number of steps, as far as they are logged."""
    try:
        last = json.loads(path.read_text("utf-8").splitlines()[-1])
        return int(last["current_steps"]), int(last["total_steps"])
    except (OSError, IndexError, KeyError, ValueError):  # not there yet, or a line half written
        return 0, 0
