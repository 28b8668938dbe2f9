"""The predictor at InternVL3-8B's true size: `python -m benchmarks.full_size [FOLDER]`.

Writes the 7,944,373,760-parameter shape with random weights, Qwen2.5's vocabulary and eight adapters (16 GB, and 6 GB
with the base in four bits), then loads and asks each of the two in a process of its own with the predictor's code. What
was written is kept in FOLDER (build/full-size) for the next run. Takes about an hour on two cores, and 12 GB of memory.

Memory is what the process holds itself, and beside it what it has mapped from files, such as embeddings that are not
quantized: pages that the kernel may drop and read again. Random weights take as long as trained ones.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

from mevlip.answers import QuestionSpec
from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, read_checkpoint, verify_files
from mevlip.core.offline import go_offline
from mevlip.core.tables import table
from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Request
from mevlip.inference.prompts import build_prompt
from mevlip.reading import grammar_of
from mevlip.tasks import TaskType

if TYPE_CHECKING:
    from transformers import InternVLConfig

    from mevlip.inference.model import VisionLanguageModel

QUESTIONS = 2
"""Questions of each task, in one batch."""
BUDGETS = dict(zip(TaskType, (2, 12, 16, 16, 6, 8, 12), strict=True))
"""Few tokens: a step takes as long as the next, and a second or more without a GPU."""

Row = tuple[object, ...]


@dataclass
class Measured:
    """What one checkpoint took.

    Attributes:
        phases: Rows of phase, seconds, and GB: the process's own memory at its peak and after, what is mapped from
            files after; where there is a GPU its memory at the peak and after.
        answers: Rows of task and what its batch took.
    """

    phases: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)


class Memory:
    """Samples this process's own memory, in bytes, in a thread of its own."""

    def __init__(self) -> None:
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self, kind: Literal["RssAnon", "RssFile"] = "RssAnon") -> int:
        """What the process holds now: its own memory, or what is mapped from files."""
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(kind))

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(0.02)


class Phases:
    """Seconds and memory by phase."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._memory = Memory()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measures what is done inside as one phase."""
        import torch

        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        self._memory.peak = self._memory.now()
        start = time.perf_counter()
        yield
        _wait_for_gpu()
        seconds, now = time.perf_counter() - start, self._memory.now()
        mapped = self._memory.now("RssFile")
        row = [name, f"{seconds:.1f}", gigabytes(max(self._memory.peak, now)), gigabytes(now), gigabytes(mapped)]
        if gpu:
            row += [gigabytes(torch.cuda.max_memory_reserved()), gigabytes(torch.cuda.memory_allocated())]
        self._rows.append(tuple(row))

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are a phase."""

        def measured(*arguments: Any) -> Any:
            with self(name):
                return function(*arguments)

        return measured


class Stopwatch:
    """Seconds and calls by part of a batch."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._started: dict[str, float] = {}

    def start(self, part: str) -> None:
        """Starts a part."""
        _wait_for_gpu()
        self._started[part] = time.perf_counter()

    def stop(self, part: str) -> None:
        """Ends a part."""
        _wait_for_gpu()
        self.seconds[part] += time.perf_counter() - self._started[part]
        self.calls[part] += 1

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self.start(part)
            made = function(*arguments, **options)
            self.stop(part)
            return made

        return timed

    def per_call(self, part: str) -> float:
        """Mean seconds of a call."""
        return self.seconds[part] / max(self.calls[part], 1)


def write(folder: Path, config: InternVLConfig, router: Path) -> tuple[list[Row], list[Path]]:
    """Writes both checkpoints where they are absent.

    Returns:
        Rows of what was written, seconds, GB; and the two folders: the base in bfloat16, and in four bits.
    """
    from mevlip_training.shapes.checkpoint import write_adapters, write_base

    rows: list[Row] = []
    parts, plain, packed = folder / "parts", folder / "bfloat16", folder / "nf4"

    def timed(what: str, target: Path, write: Callable[[], object]) -> None:
        if not target.exists():
            start = time.perf_counter()
            write()
            size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
            rows.append((what, f"{time.perf_counter() - start:.0f}", gigabytes(size)))

    timed("random base", parts / "base", lambda: write_base(parts / "base", config, quiet=False))
    timed("adapters", parts / "adapters", lambda: write_adapters(parts / "adapters", config, "random/8b", BUDGETS))
    timed("assemble", plain, lambda: in_a_process(_assemble, plain, parts, router, False))
    timed("assemble --quantize nf4", packed, lambda: in_a_process(_assemble, packed, parts, router, True))
    return rows, [plain, packed]


def _assemble(out: Path, parts: Path, router: Path, quantize: bool) -> None:
    from mevlip_training.assembly import assemble
    from mevlip_training.shapes.checkpoint import NOTICE

    assemble(
        out,
        base=parts / "base",
        adapters=parts / "adapters",
        router=router,
        name=out.name,
        kind="demo",
        notice=NOTICE,
        quantize=quantize,
    )


def measure(folder: Path, inputs: Path) -> Measured:
    """Verifies, loads and asks one checkpoint."""
    go_offline()
    import torch

    from mevlip.inference import model as product
    from mevlip.inference.device import choose_device

    measured = Measured()
    phases = Phases(measured.phases)
    with phases("imports"):
        import bitsandbytes
        import peft
        import transformers

        assert bitsandbytes and peft and transformers  # noqa: S101 - they are imported to be timed
    checkpoint = read_checkpoint(folder)
    with phases("verify"):
        verify_files(checkpoint.folder, checkpoint.manifest)
    with ExitStack() as stack:
        for place, name in (
            (product, "load_base"),
            (product, "load_adapters"),
            (product.VisionLanguageModel, "_prove_adapters"),
            (product.VisionLanguageModel, "_prove_routes"),
        ):
            part = phases.around(name.strip("_").replace("_", " "), getattr(place, name))
            stack.enter_context(patch.object(place, name, part))
        model = product.VisionLanguageModel.load(checkpoint, choose_device("auto"))
    with torch.inference_mode():
        for task in TaskType:
            with phases(f"answer {task.value}"):
                measured.answers.append(_ask(model, checkpoint, task, inputs))
    return measured


def _ask(model: VisionLanguageModel, checkpoint: Checkpoint, task: TaskType, inputs: Path) -> Row:
    """Asks the first questions of a task's first data set in one batch, and takes its parts' times."""
    from mevlip.inference.drafts import Draft

    folder = read_input_folder(inputs)
    mine = [question for question in folder.questions if question.declared is task]
    chosen: list[Question] = [question for question in mine if question.file == mine[0].file][:QUESTIONS]
    route, watch = checkpoint.routes[task.value], Stopwatch()
    with ImageStore(folder.root) as store:
        loaded = [store.load(one, route.images) for one in chosen]
    model.use(task.value)
    core = model._model.get_base_model().model
    hooks = []
    for part, module in (("vision", core.vision_tower), ("language", core.language_model)):

        def begin(*_: Any, part: str = part) -> None:
            watch.start(_step(part, watch))

        def end(*_: Any, part: str = part) -> None:
            watch.stop(_step(part, watch))

        hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    with (
        patch.object(model.encoder, "picture", watch.around("encode", model.encoder.picture)),
        patch.object(Draft, "fill", watch.around("mask", Draft.fill)),
        patch.object(Draft, "take", watch.around("take", Draft.take)),
    ):
        requests = []
        for one, own in zip(chosen, loaded, strict=True):
            pictures = tuple(model.picture(image, route.images) for image in own.images)
            prompt = model.encode(build_prompt(one.text, len(pictures), route.prompt, model.reserved), pictures)
            grammar = grammar_of(task, QuestionSpec(one.text, own.sizes[0], route.box_space))
            requests.append(Request(prompt, pictures, route.max_new_tokens[task], grammar))
        cost = model.generate(requests).cost
    for hook in hooks:
        hook.remove()
    return (
        task.value,
        len(chosen),
        cost.tiles_encoded,
        cost.prompt_tokens,
        cost.forwards,
        f"{watch.seconds['encode']:.2f}",
        f"{watch.seconds['vision']:.2f}",
        f"{watch.seconds['prefill']:.2f}",
        f"{watch.per_call('step'):.3f}" if watch.calls["step"] else "",
        f"{1000 * (watch.per_call('mask') + watch.per_call('take')):.1f}",
    )


def _step(part: str, watch: Stopwatch) -> str:
    """The language model's first pass reads the prompt, each later one says a token."""
    return part if part == "vision" else ("step" if watch.calls["prefill"] else "prefill")


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def gigabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.2f}"


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Prints the tables."""
    logging.basicConfig(level=logging.WARNING)
    go_offline()
    from mevlip_training.shapes.internvl3 import internvl3_8b

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/full-size")
    written, checkpoints = write(folder, internvl3_8b(), find_checkpoint("demo") / "router")
    if written:
        print(table(("written", "seconds", "GB"), written))
    for checkpoint in checkpoints:
        measured = in_a_process(measure, checkpoint, Path("examples/inputs"))
        print(f"\nbase stored as {checkpoint.name}")
        print_measured(measured)


def print_measured(measured: Measured) -> None:
    """Prints one checkpoint's tables."""
    gpu = ("GPU peak GB", "GPU GB after") if len(measured.phases[0]) > 5 else ()
    print(table(("phase", "seconds", "peak GB", "GB after", "mapped GB", *gpu), measured.phases))
    header = ("task", "questions", "tiles", "prompt tokens", "forwards", "encode s", "vision s", "prefill s", "step s")
    print(table((*header, "grammar ms per step"), measured.answers))


if __name__ == "__main__":
    main()
