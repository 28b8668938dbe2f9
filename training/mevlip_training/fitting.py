"""Whether planned runs fit this machine: GPU, disk and packages, by arithmetic, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import free_bytes
from mevlip_training.bases import base_folder
from mevlip_training.llamafactory import find_command, missing_packages
from mevlip_training.memory import BESIDE, adapter_numbers, optimizer_bytes, read_shape, training_memory
from mevlip_training.runs import AdapterRun, interval_of

_SMALL_FILES = 1e6
"""Bytes of logs, figures and state beside a saved step's weights, optimizer and tokenizer."""


@dataclass(frozen=True)
class Need:
    """What a run needs, by arithmetic.

    Attributes:
        run: The run.
        gpu: Bytes that torch reserves at most; None without gradient checkpointing, which the arithmetic assumes.
        gpu_of_one_row: The same with one row at a time.
        disk: Bytes that the run still writes at most.
    """

    run: AdapterRun
    gpu: float | None
    gpu_of_one_row: float | None
    disk: float


def needs_of(runs: Iterable[AdapterRun]) -> dict[str, Need]:
    """What each run needs whose base is on this machine, by adapter.

    Raises:
        CheckpointError: A base's folder holds no model.
    """
    shape_of = cache(read_shape)
    needs = {}
    for run in runs:
        if (folder := base_folder(run.settings)) is None:
            continue
        shape, longest = shape_of(folder), run.lengths.longest if run.lengths else run.cutoff
        one_row = run.settings | {"per_device_train_batch_size": 1}
        needs[run.adapter] = Need(
            run,
            training_memory(shape, run.settings, longest),
            training_memory(shape, one_row, longest),
            0 if run.finished else _disk(run, adapter_numbers(shape, run.settings), folder),
        )
    return needs


def _disk(run: AdapterRun, numbers: int, base: Path) -> float:
    """A saved step has weights and optimizer; its end has the weights, and packs them once more in half precision."""
    beside = sum(path.stat().st_size for path in base.glob("*.*") if path.suffix in (".json", ".txt", ".jinja"))
    step = numbers * (4 + optimizer_bytes(run.settings)) + beside + _SMALL_FILES
    kept = 0.0
    if run.settings.get("save_strategy", "steps") != "no":
        saved = -(-run.steps // interval_of(run.settings, "save_steps", 500, run.steps))
        kept = min(saved, int(run.settings.get("save_total_limit") or saved) + 1)  # the oldest goes after the newest
    written = sum(path.stat().st_size for path in run.output.rglob("*") if path.is_file())
    return max(kept * step + numbers * (4 + 2) + beside + _SMALL_FILES - written, 0)


def gpu_problems(needs: Iterable[Need], free: float) -> Iterator[str]:
    """Yields a line for each run that a GPU has too little memory for, with what to do.

    Args:
        needs: What the runs need.
        free: Bytes that are free there.
    """
    for need in needs:
        if need.gpu is None or need.gpu_of_one_row is None or need.run.finished or need.gpu + BESIDE <= free:
            continue
        rows = int(need.run.settings["per_device_train_batch_size"])
        steps = rows * int(need.run.settings["gradient_accumulation_steps"])
        said = (
            f"{need.run.adapter} needs {(need.gpu + BESIDE) / 1e9:.1f} GB of the GPU, and {free / 1e9:.1f} are free: "
        )
        if rows > 1 and need.gpu_of_one_row + BESIDE <= free:
            yield said + (
                f"set per_device_train_batch_size to 1 and gradient_accumulation_steps to {steps} in an --overlay "
                f"({(need.gpu_of_one_row + BESIDE) / 1e9:.1f} GB)"
            )
        else:
            yield said + (
                f"one row at a time needs {(need.gpu_of_one_row + BESIDE) / 1e9:.1f}; prepare rows with fewer images, "
                "tiles or pixels and a smaller cutoff_len, or take a larger card"
            )


def disk_line(needs: Iterable[Need], out: Path) -> tuple[str, bool]:
    """What the runs still write below a folder, for people, and whether it fits.

    Args:
        needs: What the runs need.
        out: Their parent folder; it need not exist.
    """
    wanted = sum(need.disk for need in needs)
    free = free_bytes(out)
    return f"{wanted / 1e9:.1f} GB will be written to {out}, where {free / 1e9:.1f} GB are free", wanted <= free


def obstacles(runs: Sequence[AdapterRun], needs: Mapping[str, Need], out: Path) -> Iterator[tuple[str, str]]:
    """Yields cause and remedy of everything that stops a training for certain.

    Args:
        runs: The runs; what is finished is only packed once more.
        needs: What they need.
        out: Their parent folder.
    """
    missing: dict[Path, list[str]] = {}
    if waiting := [run for run in runs if not run.finished]:
        try:
            find_command()
            missing = {run.source: missing_packages(run.settings) for run in waiting}
        except EnvironmentProblem as error:
            yield error.cause, error.remedy
    for source, packages in missing.items():
        if packages:
            yield (
                f"{source} asks for {', '.join(packages)}, which LLaMA-Factory's environment does not have",
                f"Install it there: pip install {' '.join(packages)}. Or take it out of the config.",
            )
    line, fits = disk_line(needs.values(), out)
    if not fits:
        yield line, "Free space, name another --out, or keep fewer saved steps: save_total_limit in an --overlay."


def doubts(runs: Sequence[AdapterRun], needs: Mapping[str, Need], free: float | None) -> Iterator[str]:
    """Yields what may stop a training, or could not be looked at.

    Args:
        runs: The runs.
        needs: What they need.
        free: Free bytes of the GPU; None without one.
    """
    if absent := sorted({str(run.settings["model_name_or_path"]) for run in runs if run.adapter not in needs}):
        yield (
            f"{', '.join(absent)}: not on this machine, so that LLaMA-Factory fetches it, and what its training needs "
            "of GPU and disk is not known; get it with `mevlip checkpoint fetch` and name its folder as --base"
        )
    if unmeasured := [run.adapter for run in runs if run.lengths is None]:
        yield (
            f"{', '.join(unmeasured)}: rows were not measured, because the base's tokenizer is not on this machine; "
            "LLaMA-Factory silently cuts rows longer than cutoff_len, and stops where it cuts an image"
        )
    yield from gpu_problems(needs.values(), free) if free is not None else ()


def refuse_unfit(runs: Sequence[AdapterRun], needs: Mapping[str, Need], out: Path) -> None:
    """Refuses runs that cannot reach their end.

    Raises:
        EnvironmentProblem: LLaMA-Factory or a package of its is absent, or the disk too small.
    """
    found = list(obstacles(runs, needs, out))
    if found:
        raise EnvironmentProblem("; ".join(cause for cause, _ in found), " ".join(remedy for _, remedy in found))
