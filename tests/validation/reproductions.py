"""Runs of the paper's table without a model, for the tests of `mevlip reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mevlip.checkpoints.checkpoint import BaseModelRecord, Manifest
from mevlip.tasks import TaskType
from mevlip_validation.ablation import ablate
from mevlip_validation.matching import Row
from mevlip_validation.provenance import Provenance
from mevlip_validation.reproduction import CheckpointRun, SetName, SetRun, systems_of
from tests.validation.rows import make_row

NOTICE = "TOY: its answers mean nothing & cost 100 %"


def make_rows(task: TaskType, right: int, wrong: int, truth: str = "B", other: str = "A") -> list[Row]:
    """Rows of one task, some answered as the truth says."""
    texts = [truth] * right + [other] * wrong
    return [make_row(task, text, truth, image=f"{place}.png") for place, text in enumerate(texts)]


def judged(rows: Sequence[Row], green: float) -> list[Row]:
    """The same rows with a judgment."""
    return [replace(row, judgments={"GREEN": green}) for row in rows]


def make_run(
    name: str,
    sets: Mapping[SetName, Mapping[str, Sequence[Row]]],
    kind: Literal["demo", "medical"] = "demo",
    notice: str = NOTICE,
) -> CheckpointRun:
    """A run of a checkpoint whose systems answered as given, by set and name of the system; "" stands for all."""
    manifest = Manifest(
        name="toy_1", kind=kind, notice=notice, base=BaseModelRecord(name="a/b", revision="1"), files={}
    )
    made: dict[SetName, SetRun] = {}
    for set_name, answers in sets.items():
        rows = {one.name: list(answers.get(one.name, answers.get("", []))) for one in systems_of(name)}
        provenance = Provenance.of(Path("out"), Path(f"{set_name}-folder"), next(iter(rows.values())))
        made[set_name] = SetRun(ablate(rows, resamples=5), provenance)
    return CheckpointRun(manifest, Path("/toy"), {"checkpoint": "sha256:0"}, made)
