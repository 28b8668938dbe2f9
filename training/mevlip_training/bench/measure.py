"""Measuring sides in turn, task by task: A, B, A, B, ... on the same questions, after a warm-up that is not counted."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from mevlip import __version__
from mevlip.core import memory
from mevlip.core.progress import Progress
from mevlip.settings import Device
from mevlip.tasks import TaskType
from mevlip_training.bench.machine import Rates, Seconds, Stopwatch, measure_rates, one_thread
from mevlip_training.bench.questions import Mix, parts_of, write_questions
from mevlip_training.bench.sides import SIDES, Outcome, Task, with_lengths
from mevlip_training.bench.systems import CACHE, Shape, System, open_system
from mevlip_training.bench.work import Cost

Clock = Literal["cpu", "wall"]

ENGINE = "engine"
CONSTRAINED = (ENGINE, "reference")
"""Sides that may only say what a question allows, as random weights know nothing of it."""
_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "pillow")
_ALONE = ("reference", "published", "batched")
"""Sides that read each question's whole prompt, so that their counters say what it takes alone."""


@dataclass(frozen=True)
class Measured:
    """What one side took for the questions of one task.

    Attributes:
        seconds: One entry for each round.
        outcome: What it answered, and its counters, in the last round.
        steady: Whether answers and counters were the same in each round.
        gpu_bytes: Most GPU memory in any round on top of what was held before; None without a GPU.
    """

    seconds: tuple[Seconds, ...]
    outcome: Outcome
    steady: bool
    gpu_bytes: int | None


@dataclass(frozen=True)
class Spread:
    """A median and its range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of some values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Bench:
    """A whole measurement.

    Attributes:
        shape: The checkpoint's name.
        trained: Whether its free answers mean something.
        mix: The questions' mix.
        pictures: Pictures of all questions.
        device: Where it ran.
        dtype: In what its matrices were multiplied.
        rates: What the machine can do at most.
        operations: Floating-point operations of all questions, each asked alone; None where no side asked them so.
        vision_share: The vision tower's part in the work of a question of one tile and the mean prompt; likewise.
        done: Floating-point operations that each side did.
        bytes_read: Bytes of weights that each side read.
        tasks: What each side took, by task.
        weights_gpu_bytes: GPU memory held before the first round, the predictors' and the plain loops' models together.
        peak_bytes: Most main memory that the process held, all sides together.
    """

    shape: Shape
    trained: bool
    mix: Mix
    pictures: int
    device: str
    dtype: str
    rates: Rates
    operations: float | None
    vision_share: float | None
    done: dict[str, float]
    bytes_read: dict[str, float]
    tasks: dict[TaskType, dict[str, Measured]]
    weights_gpu_bytes: int | None
    peak_bytes: int

    @property
    def clock(self) -> Clock:
        """Which time counts: a processor's own, as others may use the machine; with a GPU that on the wall."""
        return "cpu" if self.device == "cpu" else "wall"

    @property
    def sides(self) -> list[str]:
        """Names of the sides."""
        return list(next(iter(self.tasks.values())))

    @property
    def rounds(self) -> int:
        """Rounds measured."""
        return len(next(iter(next(iter(self.tasks.values())).values())).seconds)

    @property
    def questions(self) -> int:
        """Questions of all tasks."""
        return sum(self.asked(task) for task in self.tasks)

    def asked(self, task: TaskType) -> int:
        """Questions of one task."""
        return next(iter(self.tasks[task].values())).outcome.cost.questions

    def seconds(self, side: str, task: TaskType | None = None, clock: Clock | None = None) -> list[float]:
        """Seconds of each round, of one task or of all together."""
        chosen = [task] if task else list(self.tasks)
        rounds = zip(*(self.tasks[one][side].seconds for one in chosen), strict=True)
        return [sum(getattr(part, clock or self.clock) for part in parts) for parts in rounds]

    def faster(self, side: str) -> Spread:
        """How many times as fast as a side the engine is, round by round."""
        return Spread.of([theirs / ours for theirs, ours in zip(self.seconds(side), self.seconds(ENGINE), strict=True)])

    def agreement(self, side: str) -> tuple[int, int] | None:
        """Answers of a side that equal the engine's, and all; None where nothing is to be compared."""
        if ENGINE not in self.sides or not (self.trained or side in CONSTRAINED):
            return None
        pairs = [
            pair
            for sides in self.tasks.values()
            for pair in zip(sides[ENGINE].outcome.answers, sides[side].outcome.answers, strict=True)
        ]
        return sum(ours == theirs for ours, theirs in pairs), len(pairs)

    def counters(self, side: str) -> dict[str, int]:
        """A side's counters of all tasks."""
        total: dict[str, int] = {}
        for sides in self.tasks.values():
            for name, number in sides[side].outcome.counters.items():
                total[name] = total.get(name, 0) + number
        return total

    def gpu_bytes(self, side: str) -> int | None:
        """Most GPU memory of a side on top of the weights."""
        found = [sides[side].gpu_bytes for sides in self.tasks.values()]
        return max((one for one in found if one is not None), default=None)

    def unsteady(self) -> list[str]:
        """Sides whose answers or counters changed from round to round."""
        return [side for side in self.sides if not all(sides[side].steady for sides in self.tasks.values())]

    def as_json(self) -> dict[str, Any]:
        """All figures, the answers left out."""
        tasks = {
            task.value: {
                side: {
                    "seconds": [vars(one) for one in measured.seconds],
                    "counters": measured.outcome.counters,
                    "gpu_bytes": measured.gpu_bytes,
                }
                for side, measured in sides.items()
            }
            for task, sides in self.tasks.items()
        }
        sides = {
            side: {
                "questions_per_second": vars(Spread.of([self.questions / one for one in self.seconds(side)])),
                "engine_is_faster": vars(self.faster(side)) if ENGINE in self.sides else None,
                "agreement": self.agreement(side),
                "counters": self.counters(side),
                "operations": self.done[side],
                "bytes_read": self.bytes_read[side],
                "gpu_bytes": self.gpu_bytes(side),
            }
            for side in self.sides
        }
        names = ("shape", "mix", "questions", "pictures", "device", "dtype", "rounds", "clock", "operations")
        return {
            **{name: getattr(self, name) for name in (*names, "vision_share", "peak_bytes", "weights_gpu_bytes")},
            "versions": {"mevlip": __version__, **{name: metadata.version(name) for name in _PACKAGES}},
            "machine": {"name": platform.processor() or platform.machine(), **vars(self.rates)},
            "unsteady": self.unsteady(),
            "sides": sides,
            "tasks": tasks,
        }


def measure(
    shape: Shape,
    mix: Mix,
    questions: int | None,
    sides: Sequence[str],
    rounds: int,
    device: Device = "auto",
    cache: Path = CACHE,
    quiet: bool = True,
) -> Bench:
    """Measures sides on one shape and mix, in one thread.

    Args:
        shape: Which checkpoint.
        mix: Which questions.
        questions: How many; None for the mix's own number.
        sides: Names of `SIDES`.
        rounds: How often each side answers each task's questions.
        device: Where the models run.
        cache: Folder of checkpoints with random weights.
        quiet: Whether to show no progress.

    Raises:
        MevlipError: A checkpoint cannot be loaded, or a model, its device or a library broke.
    """
    with one_thread(), TemporaryDirectory() as scratch:
        system = open_system(shape, device, cache)
        return measure_system(system, mix, questions, sides, rounds, Path(scratch), quiet)


def measure_system(
    system: System, mix: Mix, questions: int | None, sides: Sequence[str], rounds: int, scratch: Path, quiet: bool
) -> Bench:
    """Measures sides on one loaded system; `scratch` is an empty folder for the questions."""
    folders = write_questions(scratch / "questions", mix, questions)
    warm_up = write_questions(scratch / "warm-up", mix, len(parts_of(mix)), seed=1)
    with Progress("warm-up", len(folders) * (1 + len(sides)), "sides", quiet) as progress:
        asked: dict[TaskType, Task] = {}
        for task, folder in folders.items():
            asked[task] = with_lengths(system, folder)
            progress.advance()
            first = with_lengths(system, warm_up[task])
            for side in sides:
                SIDES[side](system, first)
                progress.advance()
    weights = torch.cuda.memory_allocated(system.device) if system.device.type == "cuda" else None
    tasks: dict[TaskType, dict[str, list[tuple[Seconds, Outcome, int | None]]]] = {
        task: {side: [] for side in sides} for task in folders
    }
    with Progress("measuring", rounds * len(folders) * len(sides), "sides", quiet) as progress:
        for _ in range(rounds):
            for task, questions_of_task in asked.items():
                for side in sides:
                    tasks[task][side].append(_once(system, side, questions_of_task))
                    progress.advance()
    measured = {task: {side: _summarize(taken) for side, taken in by_side.items()} for task, by_side in tasks.items()}
    return _bench(system, mix, folders, measured, weights)


def _once(system: System, side: str, task: Task) -> tuple[Seconds, Outcome, int | None]:
    gpu = system.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(system.device)
    before = torch.cuda.memory_allocated(system.device) if gpu else 0
    watch = Stopwatch(system.device)
    outcome = SIDES[side](system, task)
    seconds = watch.stop()
    return seconds, outcome, torch.cuda.max_memory_allocated(system.device) - before if gpu else None


def _summarize(taken: Sequence[tuple[Seconds, Outcome, int | None]]) -> Measured:
    seconds, outcomes, peaks = zip(*taken, strict=True)
    peak = max((one for one in peaks if one is not None), default=None)
    return Measured(seconds, outcomes[-1], all(one == outcomes[0] for one in outcomes), peak)


def _bench(
    system: System,
    mix: Mix,
    folders: dict[TaskType, Path],
    tasks: dict[TaskType, dict[str, Measured]],
    weights: int | None,
) -> Bench:
    sides, work = list(next(iter(tasks.values()))), system.work
    alone = next((side for side in _ALONE if side in sides), None)

    def prompt(by_side: dict[str, Measured]) -> float:
        cost = by_side[alone or sides[0]].outcome.cost
        return cost.prompt_tokens / max(cost.questions, 1)

    total = Cost()
    for by_side in tasks.values():
        total += by_side[alone or sides[0]].outcome.cost
    return Bench(
        shape=system.shape,
        trained=system.trained,
        mix=mix,
        pictures=sum(path.parent.name == "imagesVal" for folder in folders.values() for path in folder.rglob("*.*")),
        device=torch.cuda.get_device_name(system.device) if system.device.type == "cuda" else "cpu",
        dtype=str(system.dtype).removeprefix("torch."),
        rates=measure_rates(work.matmuls, system.device, system.dtype),
        operations=sum(work.asked_alone(own[alone].outcome.cost) for own in tasks.values()) if alone else None,
        vision_share=work.vision_share(1, total.prompt_tokens / max(total.questions, 1)) if alone else None,
        done={side: sum(work.done(own[side].outcome.cost, prompt(own)) for own in tasks.values()) for side in sides},
        bytes_read={side: sum(work.bytes_read(own[side].outcome.cost) for own in tasks.values()) for side in sides},
        tasks=tasks,
        weights_gpu_bytes=weights,
        peak_bytes=memory.peak(),
    )
