"""How much worse systems answer about perturbed pictures: the drop of each measure, with paired intervals over images.

A drop is positive where a system is worse, whether more or less of the measure is better. Both scores of a drop are of
the same questions: those that the perturbation reaches and that count in both cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.defaults import CLEAN, REFERENCE, RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, difference
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of
from mevlip_validation.perturbations.registry import Perturbation, find
from mevlip_validation.protocols import scorings
from mevlip_validation.robustness.cells import Cell, Outcome
from mevlip_validation.robustness.sampling import Sample
from mevlip_validation.statistics import Aggregate, MacroAverage, Scores, Statistic, Weights

Rows = Sequence[Row]
BASE, MEDICAL = "base", "medical"
"""The perturbations for all pictures, and those specific to a kind of medical picture."""


@dataclass(frozen=True)
class Aspect:
    """Which questions are looked at, and by which measure.

    Attributes:
        task: One task, by its first measure; None for all tasks: the mean over them of each question's own points, 0 to
            1, see `Points`.
        dataset: One data set by itself; None for all, each counting once.
        apart: Why these results are reported apart; empty for those that are not.
    """

    task: TaskType | None = None
    dataset: str | None = None
    apart: str = ""

    @property
    def title(self) -> str:
        """The task's title."""
        return TASKS[self.task].title if self.task else "all tasks"

    @property
    def measure(self) -> str:
        """The measure's name."""
        return metrics_of(self.task).main.name if self.task else "points"

    @property
    def sign(self) -> int:
        """-1 where less is better."""
        return -1 if self.task and metrics_of(self.task).main.direction == "lower" else 1

    def statistic(self, rows: Rows) -> Statistic:
        """The measure of rows."""
        if self.task is None:
            return _mean_points(rows)
        main = metrics_of(self.task).main
        if self.dataset is not None:
            return main.statistic(rows)
        return next(one for one in scorings(self.task, main) if one.protocol == REFERENCE).statistic(rows)


ALL_TASKS = Aspect()


@dataclass(frozen=True)
class Drop:
    """What a system loses under one perturbation at one level.

    Attributes:
        system: The system.
        perturbation: The perturbation's name.
        level: 1 to 5.
        aspect: Which questions, by which measure.
        questions: Their number.
        images: Number of images that they are about.
        clean: The score with clean pictures.
        perturbed: That with perturbed ones.
        drop: By how much it is worse.
        invalid: Share of answers that could not be read and were replaced by a fallback, with clean pictures and with
            perturbed ones.
        ssim: Mean structural similarity of the perturbed pictures with the clean ones.
        reached: Share of pictures whose level was reached; None where the level has no target.
        resampled: (resamples,): the drop of each resample of images; the same resample for all drops.
    """

    system: str
    perturbation: str
    level: int
    aspect: Aspect
    questions: int
    images: int
    clean: float
    perturbed: float
    drop: Estimate
    invalid: tuple[float, float]
    ssim: float
    reached: float | None
    resampled: Scores

    @property
    def relative(self) -> float:
        """The drop as a share of the clean score; NaN where that is zero."""
        return self.drop.value / self.clean if self.clean else math.nan

    @property
    def group(self) -> str:
        """`BASE` or `MEDICAL`."""
        return BASE if find(self.perturbation).is_base else MEDICAL


@dataclass(frozen=True)
class MeanDrop:
    """The mean of drops, each perturbation and level counting once: equation 3 of the published benchmark.

    Attributes:
        drop: The mean.
        relative: The mean of the relative drops; NaN where none is known.
        worst: The greatest of the drops; None without any.
        number: How many there are.
        resampled: (resamples,): the mean of each resample.
        images: The greatest number of images that one of them is of.
    """

    drop: Estimate
    relative: float
    worst: Drop | None
    number: int
    resampled: Scores
    images: int


@dataclass(frozen=True)
class Drops:
    """All drops, and means of any of them.

    Attributes:
        cells: The drops, with those that are reported apart.
        clean: Each system's score with clean pictures, over all questions of an aspect.
        faults: How many questions count for nothing, by the reason.
    """

    cells: tuple[Drop, ...]
    clean: Mapping[tuple[str, Aspect], float]
    faults: Mapping[str, int]

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems' names."""
        return tuple(dict.fromkeys(system for system, _ in self.clean))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """The levels, weakest first."""
        return tuple(sorted({one.level for one in self.cells}))

    @cached_property
    def aspects(self) -> tuple[Aspect, ...]:
        """The aspects: all tasks together, each task, its data sets, then those apart."""
        order: list[TaskType | None] = [None, *TASKS]
        found = {one.aspect for one in self.cells}
        return tuple(sorted(found, key=lambda one: (one.apart, order.index(one.task), one.dataset or "")))

    def choose(
        self,
        system: str,
        aspect: Aspect = ALL_TASKS,
        *,
        group: str | None = None,
        level: int | None = None,
        perturbation: str | None = None,
    ) -> list[Drop]:
        """The drops of a system in one aspect, of one group, level or perturbation where one is named."""
        wanted = {"group": group, "level": level, "perturbation": perturbation}
        asked = {name: value for name, value in wanted.items() if value is not None}
        own = self._by_aspect.get((system, aspect), [])
        return [one for one in own if all(getattr(one, name) == value for name, value in asked.items())]

    def mean(
        self,
        system: str,
        aspect: Aspect = ALL_TASKS,
        *,
        group: str | None = None,
        level: int | None = None,
        perturbation: str | None = None,
    ) -> MeanDrop:
        """The mean of the drops that `choose` gives."""
        return mean_drop(self.choose(system, aspect, group=group, level=level, perturbation=perturbation))

    @cached_property
    def _by_aspect(self) -> Mapping[tuple[str, Aspect], list[Drop]]:
        found: dict[tuple[str, Aspect], list[Drop]] = {}
        for one in self.cells:
            found.setdefault((one.system, one.aspect), []).append(one)
        return found

    def ranking(self, system: str, aspect: Aspect = ALL_TASKS) -> list[tuple[Perturbation, MeanDrop]]:
        """The perturbations by their mean drop over levels, the greatest first."""
        names = dict.fromkeys(one.perturbation for one in self.choose(system, aspect))
        means = [(find(name), self.mean(system, aspect, perturbation=name)) for name in names]
        return sorted((pair for pair in means if pair[1].number), key=lambda pair: -pair[1].drop.value)


def mean_drop(drops: Sequence[Drop]) -> MeanDrop:
    """The mean of drops that are known."""
    known = [one for one in drops if math.isfinite(one.drop.value)]
    if not known:
        nothing = Estimate(math.nan, math.nan, math.nan)
        return MeanDrop(nothing, math.nan, None, 0, np.full(1, np.nan), 0)
    resampled = _mean_of_known(np.stack([one.resampled for one in known]))
    images = max(one.images for one in known)
    value = float(np.mean([one.drop.value for one in known]))
    relative = [one.relative for one in known if math.isfinite(one.relative)]
    return MeanDrop(
        difference(value, resampled, images),
        float(np.mean(relative)) if relative else math.nan,
        max(known, key=lambda one: one.drop.value),
        len(known),
        resampled,
        images,
    )


def contrast(first: MeanDrop, second: MeanDrop) -> Estimate:
    """By how much the second loses more than the first, from the same resamples of both."""
    if not first.number or not second.number:
        return Estimate(math.nan, math.nan, math.nan)
    images = max(first.images, second.images)
    return difference(second.drop.value - first.drop.value, second.resampled - first.resampled, images)


def measure_drops(sample: Sample, cells: Iterable[Cell], resamples: int = RESAMPLES, seed: int = SEED) -> Drops:
    """Compares each cell with the clean one of its system.

    Systems may come from several runs on one sample, such as those of different checkpoints: give their cells names of
    their own, `replace(cell, system="full fine-tuning")`. All drops are of the same resamples of images.

    Args:
        sample: The questions.
        cells: The cells, the clean ones among them.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Raises:
        ValueError: A system has no clean cell.
    """
    chosen = list(cells)
    bootstrap = Bootstrap([item.row.cluster for item in sample.items], resamples, seed)
    weights = np.concatenate(list(bootstrap.weights()))
    clean = {cell.system: cell for cell in chosen if cell.perturbation == CLEAN}
    if missing := sorted({cell.system for cell in chosen} - set(clean)):
        raise ValueError(f"no answers about clean pictures of {', '.join(missing)}")
    found: list[Drop] = []
    scores: dict[tuple[str, Aspect], float] = {}
    faults: dict[str, int] = {}
    for name in clean:
        meter = _Meter(sample, clean[name], weights, bootstrap.member)
        scores |= {(name, aspect): score_of(aspect.statistic(rows), len(rows)) for aspect, rows in _parts(clean[name])}
        for cell in chosen:
            if cell.system == name and cell.perturbation != CLEAN:
                found += meter.drops(cell)
    for cell in chosen:
        for one in cell.outcomes:
            if one.fault:
                faults[one.fault] = faults.get(one.fault, 0) + 1
    return Drops(tuple(found), scores, faults)


class _Meter:
    """Compares cells with one system's clean cell."""

    def __init__(self, sample: Sample, clean: Cell, weights: Weights, member: NDArray[np.int64]) -> None:
        self._items = sample.items
        self._clean = {one.number: one for one in clean.outcomes if not one.fault}
        self._weights = weights
        self._member = member
        # Most cells ask the same questions, whose clean score is one.
        self._clean_scores = lru_cache(None)(self._score_clean)

    def drops(self, cell: Cell) -> Iterator[Drop]:
        """The drops of a cell in every aspect that it has questions of."""
        perturbation = find(cell.perturbation)
        groups: dict[Aspect, list[Outcome]] = {}
        for one in cell.outcomes:
            if one.fault or one.number not in self._clean:
                continue
            for aspect in _aspects_of(one.row, self._items[one.number].asked.is_apart(perturbation)):
                groups.setdefault(aspect, []).append(one)
        for aspect, outcomes in groups.items():
            yield self._drop(cell, aspect, outcomes)

    def _drop(self, cell: Cell, aspect: Aspect, outcomes: Sequence[Outcome]) -> Drop:
        numbers = tuple(one.number for one in outcomes)
        before, resampled_before = self._clean_scores(aspect, numbers)
        after, resampled_after = self._score(aspect, [one.row for one in outcomes], numbers)
        images = len(set(self._member[list(numbers)]))
        resampled = aspect.sign * (resampled_before - resampled_after)
        return Drop(
            cell.system,
            cell.perturbation,
            cell.level,
            aspect,
            len(outcomes),
            images,
            before,
            after,
            difference(aspect.sign * (before - after) + 0.0, resampled, images),
            (_invalid([self._clean[number] for number in numbers]), _invalid(outcomes)),
            *_severity(outcomes),
            resampled,
        )

    def _score_clean(self, aspect: Aspect, numbers: tuple[int, ...]) -> tuple[float, Scores]:
        return self._score(aspect, [self._clean[number].row for number in numbers], numbers)

    def _score(self, aspect: Aspect, rows: Rows, numbers: tuple[int, ...]) -> tuple[float, Scores]:
        statistic = aspect.statistic(rows)
        return score_of(statistic, len(rows)), statistic.scores(self._weights[:, list(numbers)])


def _aspects_of(row: Row, apart: str = "") -> tuple[Aspect, ...]:
    """Everything that a question counts for."""
    return Aspect(None, None, apart), Aspect(row.task, None, apart), Aspect(row.task, row.dataset, apart)


def _parts(clean: Cell) -> Iterable[tuple[Aspect, list[Row]]]:
    """The rows of each aspect of a clean cell."""
    groups: dict[Aspect, list[Row]] = {}
    for row in clean.rows:
        for aspect in _aspects_of(row):
            groups.setdefault(aspect, []).append(row)
    return groups.items()


def _mean_points(rows: Rows) -> MacroAverage:
    """The mean over tasks of the mean of each question's own points."""
    members: dict[TaskType, list[int]] = {}
    for place, row in enumerate(rows):
        members.setdefault(row.task, []).append(place)
    parts = tuple(
        Aggregate(tuple(metrics_of(task).points_of(rows[place]).points for place in places))
        for task, places in members.items()
    )
    return MacroAverage(parts, tuple(map(tuple, members.values())))


def _invalid(outcomes: Sequence[Outcome]) -> float:
    return sum(one.stage == "fallback" for one in outcomes) / len(outcomes)


def _severity(outcomes: Sequence[Outcome]) -> tuple[float, float | None]:
    """Mean SSIM, and the share of levels reached, where there are pictures and targets."""
    known = [one.severity for one in outcomes if one.severity]
    targets = [one.reached for one in known if one.reached is not None]
    ssim = float(np.mean([one.ssim for one in known])) if known else math.nan
    return ssim, sum(targets) / len(targets) if targets else None


def _mean_of_known(values: NDArray[np.float64]) -> Scores:
    """The mean over the first axis without what is NaN; NaN where all is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Scores = np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
    return mean
