"""Scores that others have published, as printed, to stand beside one's own. None of them was reproduced here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mevlip.tasks import TASKS, TaskType

Year = Literal["2025", "2026"]

BOARDS: Mapping[Year, str] = {"2025": "flare25", "2026": "board2026"}
"""The protocol that comes closest to each year's board."""

CLS, MULTI, DET, INST = (
    TaskType.CLASSIFICATION,
    TaskType.MULTI_LABEL,
    TaskType.DETECTION,
    TaskType.INSTANCE_DETECTION,
)
COUNT, MEASURE, REPORT = TaskType.COUNTING, TaskType.REGRESSION, TaskType.REPORT


@dataclass(frozen=True)
class Published:
    """The scores of one system on one set.

    Attributes:
        system: Its name.
        data: The set, as its authors call it.
        scores: Each task's score as printed; tasks without one are absent.
    """

    system: str
    data: str
    scores: Mapping[TaskType, str]

    def value(self, task: TaskType) -> float | None:
        """The score of a task as a number; None where none was published."""
        return float(self.scores[task]) if task in self.scores else None


PUBLISHED: Mapping[Year, Sequence[Published]] = {
    "2025": (
        Published(
            "Qwen2.5-VL-7B", "public validation",
            {CLS: "0.36", MULTI: "0.36", DET: "0.64", COUNT: "243.6", REPORT: "0.76"},
        ),
        Published(
            "MedGemma-4B", "public validation",
            {CLS: "0.56", MULTI: "0.55", DET: "0.12", COUNT: "265.7", REPORT: "0.74"},
        ),
        Published(
            "InternVL3-8B", "public validation",
            {CLS: "0.52", MULTI: "0.46", DET: "0.37", COUNT: "301.4", REPORT: "0.75"},
        ),
        Published(
            "InternVL3-8B with classifier", "public validation",
            {CLS: "0.53", MULTI: "0.46", DET: "0.26", COUNT: "251.6", REPORT: "0.71"},
        ),
        Published(
            "Qwen2.5-VL-7B", "hidden validation",
            {CLS: "0.51", MULTI: "0.53", DET: "0.71", INST: "0.00", MEASURE: "15.70"},
        ),
        Published(
            "MedGemma-4B", "hidden validation",
            {CLS: "0.68", MULTI: "0.56", DET: "0.73", INST: "0.00", MEASURE: "15.35"},
        ),
        Published(
            "InternVL3-8B", "hidden validation",
            {CLS: "0.71", MULTI: "0.56", DET: "0.82", INST: "0.00", MEASURE: "18.67"},
        ),
        Published(
            "InternVL3-8B with classifier", "hidden validation",
            {CLS: "0.74", MULTI: "0.57", DET: "0.82", INST: "0.00", MEASURE: "11.84"},
        ),
    ),
    "2026": (
        Published(
            "Hexapus", "official hidden validation",
            {CLS: ".8585", MULTI: ".5310", DET: ".9733", MEASURE: "18.53"},
        ),
        Published(
            "LIST-SEU", "official testing set",
            {CLS: ".8507", MULTI: ".4809", DET: ".7917", MEASURE: "17.3954"},
        ),
    ),
}  # fmt: skip

TABLE3_SOURCE = (
    "ME-VLIP paper, Table 3: computed by its authors with their own evaluator, which is closest to flare25; reports by "
    "GREEN."
)

TABLE3_MEASURES: Mapping[TaskType, str] = {
    CLS: "balanced accuracy",
    MULTI: "F1",
    DET: "F1 at IoU 0.5",
    INST: "F1 at IoU 0.5",
    COUNT: "mean absolute error",
    MEASURE: "mean absolute error",
    REPORT: "GREEN",
}
"""The measure of each row of the ME-VLIP paper's Table 3, by this package's names."""

FIGURE5: Mapping[TaskType, tuple[str, str]] = {
    CLS: ("0.0", "0.613"),
    MULTI: ("0.026", "0.510"),
    DET: ("0.0", "0.596"),
}
"""Base and fine-tuned InternVL3-8B, mean of public and hidden validation: the numbers that the text about the ME-VLIP
paper's Figure 5 (Section 4.1) prints. Of the other tasks it prints changes only; see `FIGURE5_CHANGES`."""

FIGURE5_CHANGES: Mapping[TaskType, str] = {
    COUNT: "error about 33 % lower",
    MEASURE: "error about 40 % lower",
    REPORT: "7 % higher",
}
"""What the same text says of fine-tuned over base where it prints no scores."""

NOTES: Mapping[Year, str] = {
    "2025": f"{TABLE3_SOURCE} Not reproduced here.",
    "2026": (
        "Official tables as their READMEs give them, pooled by task, closest to board2026; not reproduced here. The "
        "sets have different names; that they hold the same questions is not known. Codabench shows one number of "
        "unknown formula: .4027 for the untuned MedGemma baseline, .48 for the leader when it was read."
    ),
}
"""Where they come from and what to know of them."""


def published_table(year: Year) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of what was published for a year: one row for each system and set, one column for each task."""
    rows = PUBLISHED[year]
    tasks = [task for task in TASKS if any(task in row.scores for row in rows)]
    header = ("system", "set", *(TASKS[task].title for task in tasks))
    return header, [(row.system, row.data, *(row.scores.get(task, "-") for task in tasks)) for row in rows]


FLEMING = "Fleming-VL paper, Tables 3 and 4 (all scores x 100), as printed; not reproduced here."
"""Source of `BENCHMARKS`, and of what each measure is called there."""

BENCHMARK_MEASURES: Mapping[str, Sequence[str]] = {
    "omnimedvqa": ("accuracy",),
    "pmc-vqa": ("accuracy",),
    "path-vqa": ("accuracy",),
    "slake": ("accuracy",),
    "vqa-rad": ("accuracy",),
    "iu-xray": ("ROUGE-L", "CIDEr", "RaTE", "SembScore", "1/RadCliQ"),
}
"""What was published of each benchmark that `mevlip data import` knows."""

BENCHMARKS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "InternVL3-8B": {
        "omnimedvqa": ("79.1",),
        "pmc-vqa": ("53.8",),
        "path-vqa": ("48.6",),
        "slake": ("72.8",),
        "vqa-rad": ("65.4",),
        "iu-xray": ("22.9", "76.2", "51.2", "31.3", "59.9"),
    },
    "Fleming-VL-8B": {
        "omnimedvqa": ("86.7",),
        "pmc-vqa": ("64.3",),
        "path-vqa": ("62.9",),
        "slake": ("86.5",),
        "vqa-rad": ("66.1",),
        "iu-xray": ("44.9", "198.6", "66.7", "51.3", "112.1"),
    },
    "Fleming-VL-38B": {
        "omnimedvqa": ("87.9",),
        "pmc-vqa": ("76.5",),
        "path-vqa": ("68.0",),
        "slake": ("89.8",),
        "vqa-rad": ("76.6",),
        "iu-xray": ("43.2", "190.0", "63.9", "55.8", "132.2"),
    },
}
"""What was published for each system, in the order of the benchmark's measures."""


def benchmark_table(name: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of what was published for a benchmark: one row for each system."""
    return ("system", *BENCHMARK_MEASURES[name]), [(system, *scores[name]) for system, scores in BENCHMARKS.items()]
