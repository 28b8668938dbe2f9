"""The faults: each case does something to runs and counts whether the promise held."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.faults.bench import PATIENCE, ROOT, Bench, Promise
from mevlip.core.errors import ExitCode
from mevlip.core.progress import Progress
from mevlip.inference.completion import OutOfMemory
from mevlip.inference.engine import Engine
from mevlip.runs.journal import journals
from mevlip.settings import RunSettings


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
    batches = max(len(_rows(bench.expected)) // 4, 1)  # at least
    for number, sent in enumerate((signal.SIGTERM, signal.SIGINT) * max(bench.kills // 40, 1)):
        output = bench.output()
        at = random.Random(number).randrange(batches)
        status = bench.run(output, functools.partial(_signal_at_batch, at, sent))
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
    bench.run(output, functools.partial(_signal_at_batch, len(_rows(bench.expected)) // 3, signal.SIGKILL))
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
        status = bench.run(
            output, functools.partial(_out_of_memory_at, bench.predictor.model, number), batch_tokens=1000
        )
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

    def kill(self: Engine, batch: Any, following: Any) -> Any:
        if any(item.question.position == position for item in batch.items):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(self, batch, following)

    patch.object(Engine, "answer", kill).start()


def _signal_at_batch(number: int, sent: signal.Signals) -> None:
    calls, answer = itertools.count(), Engine.answer

    def kill(self: Engine, batch: Any, following: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), sent)
        return answer(self, batch, following)

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

    def generate(requests: Any) -> Any:
        if next(calls) >= number and len(requests) > 1:
            raise OutOfMemory("planted")
        return real(requests)

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
