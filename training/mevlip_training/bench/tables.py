"""A measurement as text."""

from __future__ import annotations

from collections.abc import Iterator

from mevlip.core.tables import table
from mevlip.tasks import TASKS
from mevlip_training.bench.measure import ENGINE, Bench, Spread


def render(bench: Bench) -> str:
    """All tables of a measurement and what they mean."""
    return "\n\n".join(_parts(bench))


def _parts(bench: Bench) -> Iterator[str]:
    clock = "CPU" if bench.clock == "cpu" else "wall"
    yield (
        f"{bench.shape}, {bench.dtype}, {bench.device}: {bench.questions} questions on {bench.pictures} pictures "
        f"(mix {bench.mix}), {bench.rounds} rounds in turn, one thread, seconds are {clock} seconds"
    )
    yield f"Questions per second (median of rounds)\n{_by_task(bench)}"
    yield _by_side(bench)
    yield _counters(bench)
    yield _machine(bench)
    if bench.device == "cpu":
        yield "Not run on a GPU: a ratio on a CPU is not a ratio on a GPU. The counters hold anywhere."
    if unsteady := bench.unsteady():
        yield f"Warning: answers or counters of {', '.join(unsteady)} changed from round to round."


def _by_task(bench: Bench) -> str:
    rows = []
    for task in bench.tasks:
        medians = (Spread.of(bench.seconds(side, task)).median for side in bench.sides)
        rows.append((TASKS[task].title, bench.asked(task), *(_rate(bench.asked(task), one) for one in medians)))
    totals = (Spread.of(bench.seconds(side)).median for side in bench.sides)
    rows.append(("all", bench.questions, *(_rate(bench.questions, one) for one in totals)))
    return table(("task", "questions", *bench.sides), rows)


def _by_side(bench: Bench) -> str:
    header = ["side", "seconds", "range", "wall seconds", "engine is faster", "range", "same answers"]
    header += ["of GEMM rate", "work done", "of copy rate"]
    header += ["GPU GB"] if bench.weights_gpu_bytes is not None else []
    rows = []
    for side in bench.sides:
        seconds, wall = Spread.of(bench.seconds(side)), Spread.of(bench.seconds(side, clock="wall"))
        row = [side, f"{seconds.median:.2f}", _range(seconds, 2), f"{wall.median:.2f}"]
        if ENGINE in bench.sides and side != ENGINE:
            faster, agreed = bench.faster(side), bench.agreement(side)
            row += [f"{faster.median:.2f} x", _range(faster, 2), f"{agreed[0]} of {agreed[1]}" if agreed else ""]
        else:
            row += ["", "", ""]
        peak = bench.rates.operations * seconds.median
        row.append("" if bench.operations is None else f"{bench.operations / peak:.1%}")
        row.append(f"{bench.done[side] / peak:.1%}")
        row.append(f"{bench.bytes_read[side] / (bench.rates.copied * seconds.median):.1%}")
        if (extra := bench.gpu_bytes(side)) is not None:
            row.append(f"{extra / 1e9:.2f}")
        rows.append(row)
    return table(header, rows)


def _counters(bench: Bench) -> str:
    found = {side: bench.counters(side) for side in bench.sides}
    names = dict.fromkeys(name for counters in found.values() for name in counters)
    rows = [(name.replace("_", " "), *(counters.get(name, "") for counters in found.values())) for name in names]
    return table(("counter", *found), rows)


def _machine(bench: Bench) -> str:
    lines = [
        f"This machine as measured: {bench.rates.operations / 1e9:,.1f} GFLOP/s in products of the model's shapes "
        f"({bench.dtype}), {bench.rates.copied / 1e9:,.1f} GB/s in copies, reading and writing counted",
        f"Peak main memory, all sides in one process: {bench.peak_bytes / 1e9:.2f} GB",
    ]
    if bench.weights_gpu_bytes is not None:
        lines.append(
            f"GPU memory held before the first round, all models: {bench.weights_gpu_bytes / 1e9:.2f} GB; "
            "GPU GB above is what a side took on top"
        )
    if bench.operations is not None:
        lines.append(
            f"A question asked alone takes {bench.operations / bench.questions / 1e9:,.2f} GFLOP on average; vision is "
            f"{bench.vision_share:.0%} of one with one tile before its answer is written"
        )
    lines.append(
        "of GEMM rate: what the questions need when each is asked alone, work done: what the side did by its counters, "
        "both as shares of the measured rate; of copy rate: weights read, once for each forward"
    )
    return "\n".join(lines)


def _rate(questions: int, seconds: float) -> str:
    return f"{questions / seconds:.2f}"


def _range(spread: Spread, digits: int) -> str:
    return f"{spread.least:.{digits}f}-{spread.most:.{digits}f}"
