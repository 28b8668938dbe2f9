"""Runs as forks of one process that has loaded the demo checkpoint, and what is promised of them."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mevlip.core import interrupts
from mevlip.core.errors import ExitCode, MevlipError
from mevlip.predictor import Predictor
from mevlip.runs.folder import run_folder
from mevlip.runs.report import check_failures
from mevlip.settings import PredictorSettings, RunSettings

ROOT = Path(__file__).resolve().parents[2]
DATASETS = (
    "Dermatology/mole_shapes",
    "Microscopy/cell_fields",
    "Microscopy/chromosome_plates",
    "Ultrasound/nodule_boxes",
    "Xray/bone_loss",
    "Xray/chest_labels",
    "Xray/chest_regions",
)
"""Data sets of all kinds of answers."""
BATCH_TOKENS = 100
"""One or two questions of the examples at a time."""
MEMORY = 6 << 30
"""Bytes of address space that a run may take beyond what this process has."""
PATIENCE = 900
"""Seconds after which a run hangs."""


@dataclass
class Promise:
    """One promise and how often it held.

    Attributes:
        text: What is promised.
        cases: How often it was tried.
        broken: What happened where it did not hold.
        notes: Where the faults struck, and how often.
    """

    text: str
    cases: int = 0
    broken: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def check(self, held: bool, otherwise: str) -> None:
        """Counts one case."""
        self.cases += 1
        if not held:
            self.broken.append(otherwise)


class Bench:
    """The system under test, its questions and the answers that it gives undisturbed.

    Args:
        folder: A scratch folder.
        kills: Number of points at which runs are killed.
    """

    def __init__(self, folder: Path, kills: int) -> None:
        self.folder = folder
        self.kills = kills
        self.input = folder / "input"
        for name in DATASETS:
            shutil.copytree(ROOT / "examples/inputs" / name, self.input / name)
        self.predictor = Predictor.find(PredictorSettings(checkpoint=str(ROOT / "checkpoints/demo"), device="cpu"))
        _ = self.predictor.router, self.predictor.model
        self._numbers = itertools.count()
        start = time.monotonic()
        output = self.output()
        if status := self.run(output):
            raise click.ClickException(f"the undisturbed run ends with status {status}")
        self.seconds = time.monotonic() - start
        self.expected = (output / "predictions.json").read_bytes()

    def output(self) -> Path:
        """A new output folder."""
        return self.folder / f"output{next(self._numbers)}"

    def start(self, output: Path, disturb: Callable[[], object] = lambda: None, **settings: Any) -> int:
        """Starts a run in a fork and returns its process number; its remarks go to a file beside the output."""
        if pid := os.fork():
            return pid
        status: int = ExitCode.INTERNAL
        try:
            limit = MEMORY + 4096 * int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            log = os.open(output.with_suffix(".log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 2)
            interrupts.install()
            disturb()
            chosen = RunSettings(input=self.input, output=output, **{"batch_tokens": BATCH_TOKENS, **settings})
            check_failures(run_folder(self.predictor, chosen), chosen)
            status = ExitCode.DONE
        except MevlipError as error:
            logging.getLogger(__name__).error("%s", error)
            status = error.exit_code
        except KeyboardInterrupt:
            status = ExitCode.INTERRUPTED
        except Exception:  # whatever it is, the parent compares the status
            logging.getLogger(__name__).exception("not foreseen")
        finally:
            os._exit(status)

    def run(self, output: Path, disturb: Callable[[], object] = lambda: None, **settings: Any) -> int:
        """Runs to the end; the status, negative for a signal."""
        return self.wait(self.start(output, disturb, **settings))

    def wait(self, pid: int) -> int:
        """Waits for a run; the status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return -signal.SIGALRM
            time.sleep(0.01)

    def same(self, output: Path) -> bool:
        """Whether the folder holds the undisturbed answers and nothing else."""
        return [path.name for path in output.iterdir()] == ["predictions.json"] and self._equal(output)

    def _equal(self, output: Path) -> bool:
        return (output / "predictions.json").read_bytes() == self.expected

    def partial(self, output: Path) -> bool:
        """Whether what should be whole is not: a predictions.json that is not the undisturbed one."""
        return (output / "predictions.json").exists() and not self._equal(output)

    def resumes(self, promise: Promise, output: Path, what: str) -> None:
        """Counts whether the same run, started again, gives the undisturbed answers."""
        partial = self.partial(output)
        status = self.run(output)
        promise.check(
            not partial and status == ExitCode.DONE and self.same(output),
            f"{what}: status {status}, {'a partial output' if partial else 'other answers'} ({output})",
        )
        shutil.rmtree(output, ignore_errors=True)
