"""Scores of predictions under each protocol, with intervals, next to what other answers would score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, estimate
from mevlip_validation.matching import Row
from mevlip_validation.metrics import Measure, metrics_of
from mevlip_validation.protocols import Scoring, scorings
from mevlip_validation.statistics import ErrorStatistic, Statistic

Rows = Sequence[Row]
HEAVY = 0.2
"""A row that carries more than this share of a mean error is named."""
_FEWEST = 10  # of fewer rows, one carries much in any case


@dataclass(frozen=True)
class HeavyRow:
    """A row on which a mean error depends.

    Attributes:
        place: File and record number of the truth.
        share: Its share in the error; in the square of a root mean square error.
    """

    place: str
    share: float


@dataclass(frozen=True)
class Score:
    """One measure of one task under one protocol.

    Attributes:
        task: The task.
        measure: The measure.
        scoring: The protocol, and how it computes the measure.
        questions: Number of rows.
        estimate: The score and its interval.
        others: What the other answers score, by name: `constant`, `blank images`, ...
        parts: Where tasks are scored together, what each of them scores alone.
        heavy_row: The row that carries more than `HEAVY` of a mean error; None where none does.
    """

    task: TaskType
    measure: Measure
    scoring: Scoring
    questions: int
    estimate: Estimate
    others: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[TaskType, float] = field(default_factory=dict)
    heavy_row: HeavyRow | None = None

    @property
    def is_main(self) -> bool:
        """Whether it is the task's first measure."""
        return self.measure == metrics_of(self.task).main

    @property
    def gains(self) -> dict[str, float]:
        """By how much the score is better than each of the others; negative where it is worse."""
        return {name: self.measure.gain(self.estimate.value, other) for name, other in self.others.items()}


def score(
    rows: Rows, others: Mapping[str, Rows] | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Score]:
    """Scores every task that has rows, in the challenge's order.

    Args:
        rows: Truth and predictions.
        others: Other answers to the same rows in the same order, to show what the score is worth.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Returns:
        One score for each measure and protocol, a task's own measure first; model-based measures only where judged.
    """
    found: list[Score] = []
    bootstraps: dict[frozenset[TaskType], Bootstrap] = {}  # of one task at a time, as each keeps its draws
    for task, measure, scoring, chosen in applicable(rows):
        if found and task is not found[-1].task:
            bootstraps.clear()
        mine = [rows[index] for index in chosen]
        if scoring.tasks not in bootstraps:
            bootstraps[scoring.tasks] = Bootstrap([row.cluster for row in mine], resamples, seed)
        statistic = scoring.statistic(mine)
        beside = {
            name: score_of(scoring.statistic([answers[index] for index in chosen]), len(chosen))
            for name, answers in (others or {}).items()
        }
        own = estimate(bootstraps[scoring.tasks], statistic, measure.scale)
        heavy = _heavy_row(mine, measure, statistic)
        found.append(Score(task, measure, scoring, len(mine), own, beside, _parts(scoring, mine), heavy))
    return found


def score_datasets(rows: Rows, protocol: str, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, list[Score]]:
    """Scores each data set alone by its tasks' first measures, as one protocol computes them.

    Args:
        rows: Truth and predictions.
        protocol: The protocol's name.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Returns:
        The scores by data set, without tasks that the protocol does not score.
    """
    found: dict[str, list[Score]] = {}
    for name in dict.fromkeys(row.dataset for row in rows):
        own = [row for row in rows if row.dataset == name]
        for task, measure, scoring, chosen in applicable(own):
            if scoring.protocol == protocol and measure == metrics_of(task).main:
                mine = [own[index] for index in chosen]
                bootstrap = Bootstrap([row.cluster for row in mine], resamples, seed)
                value = estimate(bootstrap, scoring.statistic(mine), measure.scale)
                found.setdefault(name, []).append(Score(task, measure, scoring, len(mine), value))
    return found


def _parts(scoring: Scoring, rows: Rows) -> dict[TaskType, float]:
    """What each of several tasks that are scored together scores alone."""
    present = [task for task in TASKS if any(row.task is task for row in rows)]
    if len(present) < 2:
        return {}
    groups = {task: [row for row in rows if row.task is task] for task in present}
    return {task: score_of(scoring.statistic(group), len(group)) for task, group in groups.items()}


def _heavy_row(rows: Rows, measure: Measure, statistic: Statistic) -> HeavyRow | None:
    if measure.scale != "error" or not isinstance(statistic, ErrorStatistic) or len(rows) < _FEWEST:
        return None
    burdens = statistic.burdens()
    most = int(burdens.argmax())
    return HeavyRow(rows[most].place, float(burdens[most])) if burdens[most] > HEAVY else None


def applicable(rows: Rows) -> Iterator[tuple[TaskType, Measure, Scoring, list[int]]]:
    """Every scoring that has something to count, with the places of its rows."""
    present = {row.task for row in rows}
    judged = {name for row in rows for name in row.judgments}
    places: dict[frozenset[TaskType], list[int]] = {}
    for task in (task for task in TASKS if task in present):
        for measure in metrics_of(task).measures:
            if measure.is_judgment and measure.name not in judged:
                continue
            for scoring in scorings(task, measure):
                if scoring.tasks not in places:
                    places[scoring.tasks] = [index for index, row in enumerate(rows) if row.task in scoring.tasks]
                yield task, measure, scoring, places[scoring.tasks]
