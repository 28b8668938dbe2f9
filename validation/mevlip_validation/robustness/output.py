"""Drops on perturbed pictures as tables for people, and as JSON and CSV for other programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mevlip import __version__
from mevlip.checkpoints.checkpoint import Manifest
from mevlip.core.tables import table
from mevlip.core.text import visible
from mevlip_validation.intervals import Estimate
from mevlip_validation.output import NONE, number, plain, plain_estimate, show
from mevlip_validation.perturbations.registry import find
from mevlip_validation.robustness.asking import Run
from mevlip_validation.robustness.drops import ALL_TASKS, BASE, MEDICAL, Aspect, Drop, Drops, MeanDrop, contrast

TOP = 15
"""Perturbations of the ranking that people see."""
FEW = 5
"""Images; of fewer, a drop says little."""
GROUPS = (BASE, MEDICAL)
_MEAN = {BASE: "ΔB", MEDICAL: "ΔM"}
LEGEND = "ΔB, ΔM: mean drop under base and under medical perturbations; positive is worse, whatever the measure."
"""How tables name the drops, as the published ones do."""
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

CSV_HEADER = (
    "system", "number", "perturbation", "group", "level", "task", "dataset", "apart", "measure", "questions", "images",
    "clean", "perturbed", "drop", "low", "high", "relative", "invalid_clean", "invalid_perturbed", "ssim", "reached",
)  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """A run and what came of it.

    Attributes:
        manifest: The checkpoint's manifest.
        run: What was asked.
        drops: What was lost.
    """

    manifest: Manifest
    run: Run
    drops: Drops

    @property
    def notices(self) -> list[str]:
        """What to know of the figures, a line each."""
        run, own = self.run, self.manifest
        tasks = {item.row.task for item in run.sample.items}
        asked = len({one.perturbation for one in self.drops.cells})
        lines = [
            visible(f"Checkpoint {own.name} ({own.kind}). {own.notice}".strip()),
            f"{len(run.sample.items)} of {run.sample.population} questions, of {len(tasks)} tasks, chosen with seed "
            f"{run.sample.seed}; {asked} perturbations reach them.",
        ]
        if run.left:
            names = ", ".join(f"{step.name} {step.level}" for step in run.left)
            lines.append(f"PARTIAL: no time was left for {len(run.left)} perturbations at a level: {names}.")
        unknown = sum(item.modality is None for item in run.sample.items)
        if unknown:
            lines.append(
                f"{unknown} questions are about pictures whose modality neither record nor folder names; they see base "
                "perturbations only."
            )
        few = [one.name for one, mean in self.drops.ranking(self.drops.systems[-1]) if mean.images < FEW]
        if few:
            lines.append(
                f"{len(few)} perturbations reach fewer than {FEW} images, so that few answers decide their drop and a "
                f"part of ΔM: {', '.join(few)}. A larger --sample holds more."
            )
        lines += [f"left out {count} times: {visible(reason, 200)}" for reason, count in self.drops.faults.items()]
        return lines


def render(what: Benchmark) -> str:
    """All tables for the terminal."""
    parts = [
        f"What is lost, over perturbations and levels. {LEGEND}",
        table(*loss_table(what.drops)),
        "By level, all tasks (points of 0 to 1, each task counting once)",
        table(*level_table(what.drops)),
        *_titled("How much more one system loses than another, all tasks", system_table(what.drops)),
        f"Perturbations by what {what.drops.systems[-1]} loses",
        table(*ranking_table(what.drops, TOP)),
        *_titled("Reported apart", apart_table(what.drops)),
        "\n".join(what.notices),
    ]
    return "\n".join(parts)


def loss_table(drops: Drops) -> Table:
    """A row for each task and system: clean score, the mean drop of each group, their difference, the worst case."""
    rows = []
    for aspect in _main_aspects(drops):
        for system in drops.systems:
            own = {group: drops.mean(system, aspect, group=group) for group in GROUPS}
            everything = drops.mean(system, aspect)
            rows.append(
                (aspect.title, aspect.measure, system, number(drops.clean.get((system, aspect), math.nan)),
                 *(show(own[group].drop, signed=True) for group in GROUPS),
                 show(contrast(own[BASE], own[MEDICAL]), signed=True), _percent(everything.relative),
                 _worst(everything), _invalid(drops.choose(system, aspect)))
            )  # fmt: skip
    header = ("task", "measure", "system", "clean", *_MEAN.values(), "ΔM - ΔB", "relative", "worst",
              "invalid answers")  # fmt: skip
    return header, rows


def level_table(drops: Drops, aspect: Aspect = ALL_TASKS) -> Table:
    """A row for each system and group with the mean drop at each level."""
    rows = [
        (system, group, *(
            show(drops.mean(system, aspect, group=group, level=level).drop, signed=True)
            for level in drops.levels
        ))
        for system in drops.systems
        for group in GROUPS
    ]  # fmt: skip
    return ("system", "perturbations", *(f"L{level}" for level in drops.levels)), rows


def system_table(drops: Drops) -> Table:
    """A row for each two neighboring systems: how much more the second loses."""
    rows = []
    for first, second in pairwise(drops.systems):
        cells = [_more(drops, first, second, group) for group in GROUPS]
        rows.append((f"{second} over {first}", *(show(one, signed=True) for one in cells)))
    return ("systems", *_MEAN.values()), rows


def ranking_table(drops: Drops, most: int | None = None) -> Table:
    """The perturbations by what the last system loses, with what each one loses."""
    rows: list[tuple[str, ...]] = []
    for one, mean in drops.ranking(drops.systems[-1])[:most]:
        others = (drops.mean(name, perturbation=one.name).drop for name in drops.systems[:-1])
        worst = f"L{mean.worst.level}" if mean.worst else NONE
        cells = (*(number(drop.value, signed=True) for drop in others), show(mean.drop, signed=True))
        kind = BASE if one.is_base else one.group
        rows.append((str(len(rows) + 1), one.name, kind, str(mean.images), *cells, worst))
    return ("", "perturbation", "for", "images", *drops.systems, "worst"), rows


def dataset_table(drops: Drops) -> Table:
    """A row for each data set: each system's clean score, and its mean drop under base and medical perturbations."""
    rows = []
    for aspect in drops.aspects:
        if aspect.dataset is None or aspect.apart:
            continue
        cells = [
            cell
            for system in drops.systems
            for cell in (
                number(drops.clean.get((system, aspect), math.nan)),
                *(number(drops.mean(system, aspect, group=group).drop.value, signed=True)
                  for group in GROUPS),
            )
        ]  # fmt: skip
        rows.append((visible(aspect.dataset, 30), aspect.title, aspect.measure, *cells))
    each = (f"{system}: {what}" for system in drops.systems for what in ("clean", *_MEAN.values()))
    return ("data set", "task", "measure", *each), rows


def apart_table(drops: Drops) -> Table:
    """A row for each perturbation whose results are no loss of robustness alone, with the reason."""
    found = {(one.perturbation, one.aspect) for one in drops.cells if one.aspect.apart and one.aspect.task is None}
    rows = []
    for name, aspect in sorted(found, key=lambda pair: find(pair[0]).number):
        cells = (drops.mean(system, aspect, perturbation=name).drop for system in drops.systems)
        rows.append((name, *(show(drop, signed=True) for drop in cells), aspect.apart))
    return ("perturbation", *drops.systems, "why apart"), rows


def as_json(what: Benchmark) -> dict[str, Any]:
    """Everything, for other programs; NaN is null."""
    drops, run = what.drops, what.run
    aspects = [one for one in drops.aspects if not one.apart]
    means = [
        {**_plain_aspect(aspect), "system": system, "perturbations": group, "level": level, **_plain_mean(found)}
        for aspect in aspects
        for system in drops.systems
        for group in GROUPS
        for level in (None, *drops.levels)
        if (found := drops.mean(system, aspect, group=group, level=level)).number
    ]
    return {
        "version": __version__,
        "checkpoint": {"name": what.manifest.name, "kind": what.manifest.kind, "notice": what.manifest.notice},
        "questions": len(run.sample.items),
        "population": run.sample.population,
        "seed": run.plan.seed,
        "mode": run.plan.mode,
        "systems": list(drops.systems),
        "levels": list(drops.levels),
        "left": [[step.name, step.level] for step in run.left],
        "left_out": dict(drops.faults),
        "clean": [
            {"system": system, **_plain_aspect(aspect), "score": plain(score)}
            for (system, aspect), score in drops.clean.items()
        ],
        "means": means,
        "systems_compared": [
            {**_plain_aspect(aspect), "first": first, "second": second, "perturbations": group,
             "more": plain_estimate(_more(drops, first, second, group, aspect))}
            for aspect in aspects if aspect.dataset is None
            for first, second in pairwise(drops.systems)
            for group in GROUPS
        ],
        "ranking": {
            system: [{"perturbation": one.name, **_plain_mean(mean)} for one, mean in drops.ranking(system)]
            for system in drops.systems
        },
        "cells": [_plain_drop(one) for one in drops.cells],
    }  # fmt: skip


def csv_rows(drops: Drops) -> Iterator[tuple[object, ...]]:
    """One row for each drop under `CSV_HEADER`; cells of what is not known are empty."""
    for one in drops.cells:
        aspect, numbers = one.aspect, (one.clean, one.perturbed, one.drop.value, one.drop.low, one.drop.high)
        yield (
            one.system, find(one.perturbation).number, one.perturbation, one.group, one.level,
            aspect.task.value if aspect.task else "", aspect.dataset or "", aspect.apart, aspect.measure, one.questions,
            one.images, *map(_csv, (*numbers, one.relative, *one.invalid, one.ssim)),
            "" if one.reached is None else _csv(one.reached),
        )  # fmt: skip


def _main_aspects(drops: Drops) -> list[Aspect]:
    return [one for one in drops.aspects if one.dataset is None and not one.apart]


def _more(drops: Drops, first: str, second: str, group: str, aspect: Aspect = ALL_TASKS) -> Estimate:
    before, after = (drops.mean(name, aspect, group=group) for name in (first, second))
    return contrast(before, after)


def _titled(title: str, content: Table) -> list[str]:
    return [title, table(*content)] if content[1] else []


def _worst(mean: MeanDrop) -> str:
    one = mean.worst
    return f"{one.perturbation} L{one.level} {number(one.drop.value, signed=True)}" if one else NONE


def _invalid(drops: Sequence[Drop]) -> str:
    """Share of fallback answers, clean and perturbed, over all questions of all cells."""
    questions = sum(one.questions for one in drops)
    if not questions:
        return NONE
    shares = (sum(one.invalid[side] * one.questions for one in drops) / questions for side in (0, 1))
    return " to ".join(_percent(share) for share in shares)


def _percent(share: float) -> str:
    return NONE if math.isnan(share) else f"{share:.1%}"


def _csv(value: float) -> object:
    return "" if math.isnan(value) else round(value, 6)


def _plain_aspect(aspect: Aspect) -> dict[str, Any]:
    task = aspect.task.value if aspect.task else None
    return {"task": task, "dataset": aspect.dataset, "measure": aspect.measure, "apart": aspect.apart or None}


def _plain_mean(mean: MeanDrop) -> dict[str, Any]:
    worst = mean.worst and {"perturbation": mean.worst.perturbation, "level": mean.worst.level,
                            "drop": plain(mean.worst.drop.value)}  # fmt: skip
    return {"drop": plain_estimate(mean.drop), "relative": plain(mean.relative), "worst": worst, "cells": mean.number}


def _plain_drop(one: Drop) -> dict[str, Any]:
    return {
        "system": one.system, "perturbation": one.perturbation, "level": one.level, **_plain_aspect(one.aspect),
        "questions": one.questions, "images": one.images, "clean": plain(one.clean), "perturbed": plain(one.perturbed),
        "drop": plain_estimate(one.drop), "relative": plain(one.relative),
        "invalid": [plain(share) for share in one.invalid], "ssim": plain(one.ssim),
        "reached": None if one.reached is None else plain(one.reached),
    }  # fmt: skip
