"""What this machine can do at most, as measured: multiplications of a model's shapes, and copies."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from mevlip_training.bench.work import Matmul

ROWS = 356
"""Rows of the measured products: the tokens of a question of one tile."""
_SECONDS = 0.2
"""Least time that a product or copy is repeated for."""
_COPIED = {"cpu": 256 << 20, "cuda": 1 << 30}
"""Bytes of a copy: far more than any cache holds."""


@dataclass(frozen=True)
class Rates:
    """A machine's measured limits.

    Attributes:
        operations: Floating-point operations per second of products of the model's shapes.
        copied: Bytes per second read and written by a copy, both counted.
    """

    operations: float
    copied: float


def measure_rates(matmuls: tuple[Matmul, ...], device: torch.device, dtype: torch.dtype, rows: int = ROWS) -> Rates:
    """Measures both; products weigh as much as there are of their shape."""
    spent = done = 0.0
    for matmul in matmuls:
        left = torch.randn(rows, matmul.rows, device=device, dtype=dtype)
        right = torch.randn(matmul.columns, matmul.rows, device=device, dtype=dtype)
        spent += matmul.count * _best(partial(torch.nn.functional.linear, left, right), device)
        done += 2.0 * rows * matmul.weights
    source = torch.ones(_COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.numel() / _best(partial(target.copy_, source), device)
    return Rates(done / spent, copied)


@dataclass(frozen=True)
class Seconds:
    """Time that something took.

    Attributes:
        cpu: Seconds of all threads of this process, and of children that have ended.
        wall: Seconds by the clock.
    """

    cpu: float
    wall: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.cpu + other.cpu, self.wall + other.wall)


class Stopwatch:
    """Measures what happens between its making and `stop`.

    Args:
        device: A GPU is waited for at both ends.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        _wait(device)
        self._cpu, self._wall = _cpu_seconds(), time.perf_counter()

    def stop(self) -> Seconds:
        """The time since the making."""
        _wait(self._device)
        return Seconds(_cpu_seconds() - self._cpu, time.perf_counter() - self._wall)


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch compute in one thread: several are slower and noisier on a machine that others use, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best(function: Callable[[], object], device: torch.device) -> float:
    """Least seconds of one call."""
    function()
    best, spent = float("inf"), 0.0
    while spent < _SECONDS:
        watch = Stopwatch(device)
        function()
        seconds = watch.stop().wall
        best, spent = min(best, seconds), spent + seconds
    return best


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
