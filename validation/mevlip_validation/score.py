"""Scores of predictions under each protocol, with intervals, next to what other answers would score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.bootstrap import Bootstrap, Estimate, bounds, score_of
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.matching import Row
from mevlip_validation.metrics import Measure, metrics_of
from mevlip_validation.protocols import Scoring, scorings

Rows = Sequence[Row]


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
    """

    task: TaskType
    measure: Measure
    scoring: Scoring
    questions: int
    estimate: Estimate
    others: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[TaskType, float] = field(default_factory=dict)

    @property
    def is_main(self) -> bool:
        """Whether it is the task's first measure."""
        return self.measure == metrics_of(self.task).main

    @property
    def gains(self) -> dict[str, float]:
        """By how much the score is better than each of the others; negative where it is worse."""
        return {name: self.measure.gain(self.estimate.value, other) for name, other in self.others.items()}


@dataclass(frozen=True)
class Comparison:
    """Two systems by one measure under one protocol.

    Attributes:
        task: The task.
        measure: The measure.
        scoring: The protocol, and how it computes the measure.
        first: The first system's score.
        second: The second's.
        gain: By how much the second is better, with the interval of the paired bootstrap.
    """

    task: TaskType
    measure: Measure
    scoring: Scoring
    first: float
    second: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """Whether the second wins, loses, or the interval leaves it open."""
        if not isfinite(self.first) or not isfinite(self.second):
            return "not comparable"
        if isnan(self.gain.low):
            return "one image only"
        return "win" if self.gain.low > 0 else "lose" if self.gain.high < 0 else "tie"


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
    found = []
    for task, measure, scoring, chosen in _applicable(rows):
        mine = [rows[index] for index in chosen]
        bootstrap = Bootstrap([row.cluster for row in mine], resamples, seed)
        beside = {
            name: score_of(scoring.statistic([answers[index] for index in chosen]), len(chosen))
            for name, answers in (others or {}).items()
        }
        estimate = bootstrap.estimate(scoring.statistic(mine))
        found.append(Score(task, measure, scoring, len(mine), estimate, beside, _parts(scoring, mine)))
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
        for task, measure, scoring, chosen in _applicable(own):
            if scoring.protocol == protocol and measure == metrics_of(task).main:
                mine = [own[index] for index in chosen]
                bootstrap = Bootstrap([row.cluster for row in mine], resamples, seed)
                estimate = bootstrap.estimate(scoring.statistic(mine))
                found.setdefault(name, []).append(Score(task, measure, scoring, len(mine), estimate))
    return found


def _parts(scoring: Scoring, rows: Rows) -> dict[TaskType, float]:
    """What each of several tasks that are scored together scores alone."""
    present = [task for task in TASKS if any(row.task is task for row in rows)]
    if len(present) < 2:
        return {}
    groups = {task: [row for row in rows if row.task is task] for task in present}
    return {task: score_of(scoring.statistic(group), len(group)) for task, group in groups.items()}


def compare(first: Rows, second: Rows, resamples: int = RESAMPLES, seed: int = SEED) -> list[Comparison]:
    """Compares two systems by each task's first measure, by a paired bootstrap over images.

    Args:
        first: The system to compare with.
        second: The other one, on the same truth in the same order.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Raises:
        ValueError: The two have different truths.
    """
    if [row.place for row in first] != [row.place for row in second]:
        raise ValueError("the two were matched with different truths")
    found = []
    for task, measure, scoring, chosen in _applicable(first):
        if measure != metrics_of(task).main:
            continue
        pair = [[rows[index] for index in chosen] for rows in (first, second)]
        statistics = [scoring.statistic(rows) for rows in pair]
        bootstrap = Bootstrap([row.cluster for row in pair[0]], resamples, seed)
        before, after = (score_of(statistic, len(chosen)) for statistic in statistics)
        one, other = (bootstrap.scores(statistic) for statistic in statistics)
        gains = other - one if measure.direction == "higher" else one - other
        gain = Estimate(measure.gain(after, before), *bounds(gains))
        found.append(Comparison(task, measure, scoring, before, after, gain))
    return found


def _applicable(rows: Rows) -> Iterator[tuple[TaskType, Measure, Scoring, list[int]]]:
    """Every scoring that has something to count, with the places of its rows."""
    present = {row.task for row in rows}
    judged = {name for row in rows for name in row.judgments}
    for task in (task for task in TASKS if task in present):
        for measure in metrics_of(task).measures:
            if measure.is_judgment and measure.name not in judged:
                continue
            for scoring in scorings(task, measure):
                yield task, measure, scoring, [index for index, row in enumerate(rows) if row.task in scoring.tasks]
