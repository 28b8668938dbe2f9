"""Finding LLaMA-Factory's own command and running it; it lives in an environment of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mevlip.core.errors import EnvironmentProblem, TrainingFailed
from mevlip_training.history import note_start, read_log

COMMAND = "llamafactory-cli"
CONFIGS = Path("llamafactory_configs")
"""The repository's folder of configs, from its root."""
LOG_NAME = "train.log"

_CPU_HELP = Path(__file__).parent / "cpu"
_GUARD = Path(__file__).with_name("guard.py")
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


def missing_packages(settings: Mapping[str, Any]) -> list[str]:
    """Packages that a config asks for and LLaMA-Factory's environment lacks; it would say so only after minutes.

    Raises:
        EnvironmentProblem: LLaMA-Factory is not installed.
    """
    reporters = settings.get("report_to") or []
    wanted = [reporters] if isinstance(reporters, str) else list(reporters)
    wanted = [name for name in wanted if name not in ("none", "all")]
    wanted += ["deepspeed"] if settings.get("deepspeed") else []
    wanted += ["ray"] if "ray_num_workers" in settings else []
    return absent(wanted) if wanted else []


def training_python() -> Path:
    """The Python of LLaMA-Factory's environment.

    Raises:
        EnvironmentProblem: LLaMA-Factory is not installed.
    """
    return find_command().with_name("python")


def absent(packages: Sequence[str]) -> list[str]:
    """Those of some packages that LLaMA-Factory's environment lacks.

    Raises:
        EnvironmentProblem: LLaMA-Factory is not installed.
    """
    program = "import sys; from importlib.util import find_spec; print(*[n for n in sys.argv[1:] if not find_spec(n)])"
    done = subprocess.run(  # noqa: S603 - no shell, our own arguments
        [training_python(), "-I", "-c", program, *packages], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def run_training(config: Path, output: Path, on_progress: Callable[[int, int], object]) -> None:
    """Runs `llamafactory-cli train CONFIG` to its end; everything it prints goes to OUTPUT/train.log.

    A run that was stopped is resumed by LLaMA-Factory from its last saved step. However this process ends, the training
    and all processes that it started end with it.

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
    note_start(output)

    def look() -> None:
        for entry in read_log(output)[-1:]:
            on_progress(entry["current_steps"], entry["total_steps"])

    run_guarded(command, output / LOG_NAME, look, f"{COMMAND} on {config}")


def run_guarded(command: Sequence[str], log: Path, look: Callable[[], object], what: str) -> None:
    """Runs a command of the training environment to its end; it ends with this process, however that ends.

    Args:
        command: The command.
        log: Where everything that it prints is added.
        look: Called now and again while it runs.
        what: What it is, for the message.

    Raises:
        TrainingFailed: It ended with an error; its last lines are in the message.
    """
    with (
        log.open("ab") as file,
        subprocess.Popen(  # noqa: S603 - no shell, our own arguments
            [sys.executable, "-I", str(_GUARD), *command],
            stdin=subprocess.PIPE,  # closed by the system when this process ends, which ends the guard
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                look()
        finally:
            with suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        raise TrainingFailed(
            f"{what} ended with status {process.returncode}: {' / '.join(lines[-_LINES_SHOWN:])}",
            f"Read {log}; the same command goes on from the last saved step.",
        )


def _environment() -> dict[str, str]:
    import torch

    if torch.cuda.is_available():
        return dict(os.environ)
    # Elsewhere the training environment may hold packages built for CUDA beside a CPU-only torch: see the folder.
    folders = [str(_CPU_HELP), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
