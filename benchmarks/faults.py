"""Breaking runs on purpose: `python -m benchmarks.faults [--kills N] [--only NAME]`.

The demo checkpoint's router and model are loaded once; each run is a fork of this process, under a limit of memory, so
that it can be killed, starved and disturbed without waiting for another start. After each fault the same run is started
again, and its predictions.json is compared, byte for byte, with that of a run that nothing disturbed. Docs:
docs/reliability.md. Takes about twenty minutes on two cores with 200 kills.

Faults that a kernel makes are real: SIGKILL, SIGTERM, a full and a read-only file system (as root, in tmpfs mounts of a
namespace of its own; without that right these are left out and said to be). An input/output error and running out of
memory on a GPU are planted in the code.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from mevlip.core import interrupts
from mevlip.core.errors import ExitCode, MevlipError
from mevlip.core.progress import Progress
from mevlip.core.tables import table
from mevlip.inference.completion import OutOfMemory
from mevlip.inference.engine import Engine
from mevlip.predictor import Predictor
from mevlip.runs.folder import run_folder
from mevlip.runs.journal import journals
from mevlip.runs.report import check_failures
from mevlip.settings import PredictorSettings, RunSettings

ROOT = Path(__file__).resolve().parents[1]
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
BATCH_SIZE = 2
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
            chosen = RunSettings(input=self.input, output=output, **{"batch_size": BATCH_SIZE, **settings})
            check_failures(run_folder(self.predictor, chosen), chosen)
            status = ExitCode.DONE
        except MevlipError as error:
            logging.getLogger(__name__).error("%s", error)
            status = error.exit_code
        except KeyboardInterrupt:
            status = ExitCode.INTERRUPTED
        except BaseException:
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


def killed(bench: Bench) -> Iterator[Promise]:
    """SIGKILL at points spread over the whole run, from its first moment to after its last."""
    promise = Promise("kill -9 at any moment loses no answer")
    with Progress("kill -9", bench.kills, "points", quiet=bench.kills < 50) as progress:
        for point in range(bench.kills):
            output = bench.output()
            pid = bench.start(output)
            time.sleep(1.05 * bench.seconds * point / bench.kills)
            os.kill(pid, signal.SIGKILL)
            status = bench.wait(pid)
            answered = sum(path.read_bytes().count(b'["answer"') for path in journals(output))
            written = (output / "predictions.json").exists()
            place = "after the end" if written else "while answering" if answered else "before the first answer"
            promise.notes[place] += 1
            bench.resumes(promise, output, f"kill at point {point} (status {status})")
            progress.advance()
    yield promise


def terminated(bench: Bench) -> Iterator[Promise]:
    """SIGTERM and SIGINT in the middle of a run."""
    promise = Promise("SIGTERM and Ctrl-C end with status 130 and lose no answer")
    for number, sent in enumerate((signal.SIGTERM, signal.SIGINT) * max(bench.kills // 40, 1)):
        output = bench.output()
        pid = bench.start(output)
        time.sleep(bench.seconds * (0.2 + 0.6 * random.Random(number).random()))
        os.kill(pid, sent)
        status = bench.wait(pid)
        promise.check(status == ExitCode.INTERRUPTED, f"{sent.name}: status {status}")
        bench.resumes(promise, output, sent.name)
    yield promise


def deadly(bench: Bench) -> Iterator[Promise]:
    """A question that has the program killed each time it is asked."""
    promise = Promise("a question that kills the program twice gets a fallback; all others keep their answers")
    rows = _rows(bench.expected)
    for position in range(0, len(rows), max(len(rows) * 10 // max(bench.kills, 10), 1)):
        output = bench.output()
        disturb = functools.partial(_kill_at, position)
        statuses = [bench.run(output, disturb) for _ in range(3)]
        made = _rows((output / "predictions.json").read_bytes()) if (output / "predictions.json").exists() else []
        others = [row for place, row in enumerate(made) if place != position]
        kept = others == [row for place, row in enumerate(rows) if place != position]
        promise.check(
            statuses == [-signal.SIGKILL, -signal.SIGKILL, ExitCode.TOO_MANY_FAILURES if _strict(rows) else 0] and kept,
            f"question {position}: statuses {statuses}, others {'kept' if kept else 'changed'}",
        )
    yield promise


def disk(bench: Bench) -> Iterator[Promise]:
    """Disks that fill up at several sizes, and one that cannot be written at all."""
    promise = Promise("a full or read-only disk ends with status 3 and loses no answer")
    for kilobytes in range(4, 4 + 4 * max(bench.kills // 25, 2), 4):
        with _tmpfs(bench.output(), f"size={kilobytes}k") as output:
            if output is None:
                promise.notes["left out: file systems cannot be mounted"] += 1
                break
            status = bench.run(output)
            promise.notes["filled up" if status else "large enough"] += 1
            promise.check(status in (ExitCode.ENVIRONMENT, ExitCode.DONE), f"{kilobytes} kB: status {status}")
            promise.check(not bench.partial(output), f"{kilobytes} kB: a partial output")
            _command("mount", "-o", "remount,size=8m", str(output))
            status = bench.run(output)
            promise.check(status == ExitCode.DONE and bench.same(output), f"{kilobytes} kB, then room: {status}")
    with _tmpfs(bench.output(), "size=1m") as output:
        if output is not None:
            _command("mount", "-o", "remount,ro", str(output))
            status = bench.run(output)
            promise.check(status == ExitCode.ENVIRONMENT, f"read-only: status {status}")
    yield promise


def io_error(bench: Bench) -> Iterator[Promise]:
    """An input/output error at each of the journal's waits for the disk (planted)."""
    promise = Promise("an input/output error of the disk ends with status 3 and loses no answer (planted)")
    for number in range(0, 12, max(12 * 20 // max(bench.kills, 20), 1)):
        output = bench.output()
        status = bench.run(output, functools.partial(_fail_at, os, "fsync", number, OSError(errno.EIO, "I/O error")))
        promise.check(status in (ExitCode.ENVIRONMENT, ExitCode.DONE), f"at {number}: status {status}")
        bench.resumes(promise, output, f"input/output error at {number}")
    yield promise


def journal(bench: Bench) -> Iterator[Promise]:
    """Journals that were cut off, overwritten and edited."""
    promise = Promise("a torn or edited journal costs the damaged lines only, and no altered answer is believed")
    output = bench.output()
    bench.run(output, functools.partial(_kill_at_batch, 7))
    [path] = journals(output)
    content = path.read_bytes()
    source = random.Random(0)
    for number in range(max(bench.kills // 5, 4)):
        place = source.randrange(len(content))
        changed = [
            content[:place],
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            content[:place] + b"\n" + content[place:],
            content.replace(b'"text": "', b'"text": "Z', 1 + number % 3),
        ][number % 4]
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        path.write_bytes(changed)
        bench.resumes(promise, output, f"journal changed at byte {place}, way {number % 4}")
    yield promise


def memory(bench: Bench) -> Iterator[Promise]:
    """Memory that runs out at chosen batches (planted, as a GPU reports it)."""
    promise = Promise("running out of memory at a batch makes smaller batches and changes no answer (planted)")
    for number in range(0, 14, max(14 * 20 // max(bench.kills, 20), 1)):
        output = bench.output()
        status = bench.run(output, functools.partial(_out_of_memory_at, bench.predictor.model, number), batch_size=8)
        promise.check(status == ExitCode.DONE and bench.same(output), f"at batch {number}: status {status}")
        shutil.rmtree(output, ignore_errors=True)
    yield promise


def image(bench: Bench) -> Iterator[Promise]:
    """A picture that is overwritten while a run is answering."""
    promise = Promise("a picture that is damaged during a run costs no other answer")
    rows = _rows(bench.expected)
    paths = sorted(path for path in bench.input.rglob("*") if path.suffix in (".png", ".jpg"))
    for path in paths[:: max(len(paths) * 20 // max(bench.kills, 20), 1)]:
        output, content = bench.output(), path.read_bytes()
        try:
            pid = bench.start(output)
            time.sleep(0.3 * bench.seconds)
            path.write_bytes(content[: len(content) // 2])
            status = bench.wait(pid)
        finally:
            path.write_bytes(content)
        made = _rows((output / "predictions.json").read_bytes()) if (output / "predictions.json").exists() else []
        named = str(path.relative_to(bench.input))
        different = [
            row["ImageName"] for row, expected in zip(made, rows, strict=True)
            if row != expected and path.name not in str(row["ImageName"])
        ] if made else ["no output"]  # fmt: skip
        promise.check(not different and status in (ExitCode.DONE, ExitCode.TOO_MANY_FAILURES), f"{named}: {different}")
        shutil.rmtree(output, ignore_errors=True)
    yield promise


def two_writers(bench: Bench) -> Iterator[Promise]:
    """Two runs into one folder."""
    promise = Promise("of two runs into one folder one is refused with status 3 and the other completes")
    for number in range(max(bench.kills // 40, 1)):
        output = bench.output()
        first = bench.start(output)
        time.sleep(0.1 * (number + 1))
        second = bench.run(output, limit=3)
        statuses = sorted((bench.wait(first), second))
        promise.check(statuses == [ExitCode.DONE, ExitCode.ENVIRONMENT] and bench.same(output), f"statuses {statuses}")
        shutil.rmtree(output, ignore_errors=True)
    yield promise


CASES = {
    case.__name__: case for case in (killed, terminated, deadly, disk, io_error, journal, memory, image, two_writers)
}


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(content)
    return rows


def _strict(rows: list[dict[str, Any]]) -> bool:
    """Whether one failure is more than a run of that many questions may have."""
    return RunSettings(input=ROOT, output=ROOT).allowed_failures(len(rows)) == 0


def _kill_at(position: int) -> None:
    answer = Engine.answer

    def kill(self: Engine, batch: Any) -> Any:
        if any(item.question.position == position for item in batch.items):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(self, batch)

    patch.object(Engine, "answer", kill).start()


def _kill_at_batch(number: int) -> None:
    calls, answer = itertools.count(), Engine.answer

    def kill(self: Engine, batch: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(self, batch)

    patch.object(Engine, "answer", kill).start()


def _fail_at(module: Any, name: str, number: int, error: Exception) -> None:
    calls, real = itertools.count(), getattr(module, name)

    def fail(*arguments: Any) -> Any:
        if next(calls) >= number:
            raise error
        return real(*arguments)

    patch.object(module, name, fail).start()


def _out_of_memory_at(model: Any, number: int) -> None:
    calls, real = itertools.count(), model.generate

    def generate(prompts: Any, *rest: Any) -> Any:
        if next(calls) >= number and len(prompts) > 1:
            raise OutOfMemory("planted")
        return real(prompts, *rest)

    patch.object(model, "generate", generate).start()


@contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[Path | None]:
    """Mounts a small file system; None where that is not allowed."""
    folder.mkdir()
    if not _command("mount", "-t", "tmpfs", "-o", options, "none", str(folder)):
        yield None
        return
    try:
        yield folder
    finally:
        _command("umount", str(folder))


def _command(*words: str) -> bool:
    return subprocess.run(words, stderr=subprocess.DEVNULL, check=False, timeout=PATIENCE).returncode == 0


def try_all(kills: int, names: tuple[str, ...] = ()) -> list[Promise]:
    """Tries the promises, all or some.

    Args:
        kills: Number of points at which runs are killed; other faults are as many in proportion.
        names: The cases wanted; empty for all.
    """
    with tempfile.TemporaryDirectory(prefix="mevlip-faults-") as scratch:
        bench = Bench(Path(scratch), kills)
        return [promise for name in names or CASES for promise in CASES[name](bench)]


@click.command()
@click.option(
    "--kills", type=click.IntRange(1), default=200, show_default=True, help="Points at which runs are killed."
)
@click.option("--only", type=click.Choice(list(CASES)), multiple=True, help="A case; all without this option.")
def main(kills: int, only: tuple[str, ...]) -> None:
    """Breaks runs on purpose and counts answers lost."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    promises = try_all(kills, only)
    rows = []
    for promise in promises:
        where = ", ".join(f"{number} {place}" for place, number in promise.notes.items())
        rows.append((promise.text, promise.cases, len(promise.broken), where))
    click.echo(table(("promise", "cases", "broken", "where"), rows))
    for promise in promises:
        for line in promise.broken:
            click.echo(f"BROKEN: {promise.text}: {line}")
    sys.exit(any(promise.broken for promise in promises))


if __name__ == "__main__":
    main()
