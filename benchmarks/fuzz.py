"""Breaking the readers of foreign files: `python -m benchmarks.fuzz --minutes 10`.

Question files, images and archives are mutated byte by byte and read as a run reads them. Every input must give records
that can be written as strict JSON, an image, or a named cause; nothing else may be raised, no input may hang or take
more memory than allowed. An input that leads to a cause that was not seen before becomes a seed of its own: that is all
the guidance there is. Failing inputs are saved; status 1 if there are any.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from PIL import Image

from mevlip.answers import QuestionSpec
from mevlip.core.errors import InputError
from mevlip.core.tables import table
from mevlip.core.text import answer_fault
from mevlip.flare.images import load_image
from mevlip.flare.pixels import FORMATS, ImageError
from mevlip.flare.predictions import answered, find_issues, parse_strictly
from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.reading import fallback_answer
from mevlip.tasks import TASKS

ROOT = Path(__file__).parents[1]
MEMORY = 3 << 30
"""Bytes of address space of a worker; the largest image that is decoded takes a quarter of it."""
SLOWEST = 20.0
"""Seconds after which an input counts as hanging."""
_SLICE = 60.0  # seconds that one worker lives: what leaks shows, what it has learned is passed on

_TOKENS = (
    b"NaN", b"Infinity", b"-1e999", b"1e308", b"null", b"[", b"]", b"{", b"}", b'"', b"\\", b"\\u0000", b"\\ud800",
    b"\\u200b", b"\\u001b[2J", b"\\u2028", b": ", b", ", b'"Question": ', b'"ImageName": ', b'"TaskType": ', b"[" * 500,
    b"]" * 500, b"9" * 5000, b"A: ", b" or ", b"; ", b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0", b"PK\x01\x02", b"PK\x05\x06", b"IHDR", b"IDAT", b"\xff\xda",
)  # fmt: skip
Reader = Callable[[bytes, Path], str]


def read_questions(content: bytes, folder: Path) -> str:
    """Reads a question file and writes what a run would write; gives the causes named."""
    (folder / "x_questions_val.json").write_bytes(content)
    try:
        found = read_input_folder(folder)
    except InputError as error:
        return str(error)
    rows = []
    for question in found.questions[:20]:
        spec = QuestionSpec(question.text, (100, 100))
        for task in TASKS:
            text = fallback_answer(task, spec, "").text
            if fault := answer_fault(text):
                raise AssertionError(f"an answer that {fault}")
        rows.append(answered(question, text))
        _ = spec.options, spec.labels, spec.several, spec.separator, spec.shape, spec.unit, question.image_names
    written = json.dumps(rows, allow_nan=False).encode("ascii")
    if issues := find_issues(parse_strictly(written), found.questions[:20]):
        raise AssertionError(f"{issues[0].message}, field {issues[0].field}")
    return " ".join(found.problems)


def read_image(content: bytes, folder: Path) -> str:
    """Decodes an image file."""
    (folder / "image").write_bytes(content)
    return _cause(lambda: load_image(folder / "image"))


def read_archive(content: bytes, folder: Path) -> str:
    """Decodes the images of an archive."""
    (folder / "images.zip").write_bytes(content)
    question = Question(0, "x", 0, {}, folder)
    with ImageStore(folder) as store:
        names = ("images/a.png", "images/b.jpg")
        return " ".join(_cause(partial(store.image, question, name)) for name in names)


def _cause(load: Callable[[], Image.Image]) -> str:
    try:
        return f"{load().mode}"
    except ImageError as error:
        if "MemoryError" in str(error):
            raise MemoryError(str(error)) from error
        return str(error)


def question_seeds() -> Iterator[bytes]:
    """Yields the examples' question files, short, in several encodings."""
    for path in sorted((ROOT / "examples" / "inputs").rglob("*_val.json")):
        text = json.dumps(json.loads(path.read_bytes())[:3], ensure_ascii=False)
        yield text.encode()
        yield text.encode("utf-16")


def image_seeds() -> Iterator[bytes]:
    """Yields a small picture of each format and mode that Pillow writes."""
    ramp = Image.linear_gradient("L").resize((33, 17))
    for kind in FORMATS:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
            for options in ({}, {"save_all": True, "append_images": [ramp]}, {"compression": "tiff_lzw"}):
                file = io.BytesIO()
                try:
                    ramp.convert(mode).save(file, kind, **options)
                except (OSError, ValueError, KeyError):  # a mode that the format does not have
                    continue
                yield file.getvalue()


def archive_seeds() -> Iterator[bytes]:
    """Yields archives of two pictures, packed by each method."""
    pictures = list(image_seeds())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as packed:
            packed.writestr("a.png", pictures[0])
            packed.writestr("images/b.jpg", pictures[-1])
        yield file.getvalue()


TARGETS: dict[str, tuple[Reader, Callable[[], Iterator[bytes]]]] = {
    "questions": (read_questions, question_seeds),
    "images": (read_image, image_seeds),
    "archives": (read_archive, archive_seeds),
}


def mutate(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Changes a few places of an input."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
        match rng.randrange(7):
            case 0 if data:
                data[place % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length] * rng.choice((1, 2, 100))
            case 4:
                data[place:place] = rng.choice(_TOKENS)
            case 5:
                token = rng.choice(_TOKENS)
                data[place : place + len(token)] = token
            case _:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                data[place : place + length] = other[start : start + length]
    return bytes(data[: 1 << 20])


def _alarm(*_: object) -> None:
    raise TimeoutError("hangs")


def _work(folder: Path, seconds: float, seed: int) -> None:
    """Reads mutated inputs and prints one line of JSON for each failure, and one at the end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _alarm)
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)
    seeds = {name: [*make(), *_learned(folder, name)] for name, (_, make) in TARGETS.items()}
    seen: dict[str, set[str]] = {name: set() for name in TARGETS}
    runs: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = rng.choice([*TARGETS])
        content = mutate(rng.choice(seeds[name]), seeds[name], rng)
        place = folder / name
        place.mkdir(exist_ok=True)
        (folder / "current").write_text(name)  # for the parent, should this process die
        signal.setitimer(signal.ITIMER_REAL, SLOWEST)
        try:
            cause = re.sub(r"\d+|'[^']*'", "#", TARGETS[name][0](content, place))[:200]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this script looks for
            signal.setitimer(signal.ITIMER_REAL, 0)
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if str(ROOT) in frame.filename] or frames
            kind = f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].name}: {str(error)[:100]}"
            print(json.dumps({"failure": kind, "target": name, "file": _keep(folder / "failures", name, content)}))
        else:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if cause not in seen[name]:
                seen[name].add(cause)
                seeds[name].append(content)
                _keep(folder / "learned", name, content)
        runs[name] += 1
    print(json.dumps({"runs": runs, "causes": {name: len(causes) for name, causes in seen.items()}}))


def _keep(folder: Path, target: str, content: bytes) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / f"{target}-{hashlib.sha256(content).hexdigest()[:16]}"
    path.write_bytes(content)
    return str(path)


def _learned(folder: Path, target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "learned").glob(f"{target}-*"))[:2000]]


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Folder for failing inputs.", default=ROOT / "build/fuzz")
@click.option("--worker", type=float, hidden=True)
def main(minutes: float, seed: int, save: Path, worker: float | None) -> None:
    """Fuzz the readers of question files, images and archives."""
    if worker is not None:
        _work(save, worker, seed)
        return
    runs: Counter[str] = Counter()
    failures: dict[str, tuple[str, str]] = {}
    causes: dict[str, int] = {}
    end = time.monotonic() + 60 * minutes
    save.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch)
        while (left := end - time.monotonic()) > 0:
            seed += 1
            for one in _run_worker(folder, min(left, _SLICE), seed):
                if "failure" in one:
                    failures.setdefault(
                        one["failure"], (one["target"], _keep(save, one["target"], Path(one["file"]).read_bytes()))
                    )
                else:
                    runs.update(one["runs"])
                    causes = {name: max(count, causes.get(name, 0)) for name, count in one["causes"].items()}
    rows = [
        (name, runs[name], causes.get(name, 0), sum(target == name for target, _ in failures.values()))
        for name in TARGETS
    ]
    click.echo(table(("target", "executions", "distinct causes", "distinct failures"), rows))
    for kind, (_, path) in failures.items():
        click.echo(f"{kind}\n  {path}")
    sys.exit(bool(failures))


def _run_worker(folder: Path, seconds: float, seed: int) -> Iterator[dict[str, Any]]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz",
        "--worker",
        str(seconds),
        "--seed",
        str(seed),
        "--save",
        str(folder),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 3 * SLOWEST, check=False, cwd=ROOT
        )
        ended, output = (
            f"exit status {done.returncode}: {done.stderr.strip()[-200:]}" if done.returncode else "",
            done.stdout,
        )
    except subprocess.TimeoutExpired as error:
        ended, output = "hangs", (error.stdout or b"").decode()
    yield from map(json.loads, output.splitlines())
    if ended:
        target = (folder / "current").read_text()
        last = max((folder / target).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        yield {"failure": f"the worker ended ({ended})", "target": target, "file": str(last)}


if __name__ == "__main__":
    main()
