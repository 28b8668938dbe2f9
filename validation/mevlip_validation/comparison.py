"""Several systems that answered the same questions: ranks, differences that are more than chance, flipped questions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.analysis import Correctness, QuestionResult, evaluate_questions
from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, difference, standard_error
from mevlip_validation.matching import Row
from mevlip_validation.metrics import Measure, metrics_of
from mevlip_validation.protocols import Scoring, shown_protocols
from mevlip_validation.score import applicable
from mevlip_validation.significance import ALPHA, Power, draws_for, holm, power_of, swap_p_value
from mevlip_validation.statistics import Clusters

Rows = Sequence[Row]
Pair = tuple[str, str]
_SAME = 1e-12


@dataclass(frozen=True)
class Comparison:
    """Two systems by one measure under one protocol.

    Attributes:
        task: The task.
        measure: The measure.
        scoring: The protocol, and how it computes the measure.
        systems: The first system's name and the second's.
        first: The first system's score.
        second: The second's.
        gain: By how much the second is better, with the interval of this comparison alone.
        p_value: Of this comparison alone; NaN where there is none.
        corrected: By Holm's method, within all comparisons under this protocol.
        power: What the questions can show; None where there is no interval.
    """

    task: TaskType
    measure: Measure
    scoring: Scoring
    systems: Pair
    first: float
    second: float
    gain: Estimate
    p_value: float = math.nan
    corrected: float = math.nan
    power: Power | None = None

    @property
    def verdict(self) -> str:
        """Whether the second wins or loses: its corrected p-value is below `ALPHA`, and its interval excludes zero.

        A finite error wins against an infinite one; two infinite ones tie.
        """
        order = compare_scores(self.measure, self.first, self.second)
        if order is None:
            return "not comparable"
        if math.isinf(self.first) or math.isinf(self.second):
            return {1: "win", 0: "tie", -1: "lose"}[order]
        if math.isnan(self.gain.low):
            return "one image only"
        if self.corrected < ALPHA and (self.gain.low > 0 or self.gain.high < 0):
            return "win" if self.gain.value > 0 else "lose"
        return "tie"


@dataclass(frozen=True)
class Ranking:
    """Systems in order of one score.

    Attributes:
        task: The task.
        measure: The measure.
        scoring: The protocol; None for one data set by itself, scored by the task's own measure as under macro.
        dataset: The data set; None for all.
        questions: Number of rows.
        images: Number of images.
        scores: Each system's score.
        ranks: Its rank, from 1; of equal scores the same; 0 for a score that is NaN.
        shares: The share of resamples in which it has each rank, the first first; NaN where there is one image.
    """

    task: TaskType
    measure: Measure
    scoring: Scoring | None
    dataset: str | None
    questions: int
    images: int
    scores: Mapping[str, float]
    ranks: Mapping[str, int]
    shares: Mapping[str, tuple[float, ...]]

    @property
    def first_stays(self) -> float:
        """The share of resamples in which the first stays first; NaN where none is first."""
        return next((self.shares[name][0] for name, rank in self.ranks.items() if rank == 1), math.nan)


@dataclass(frozen=True)
class Tally:
    """How often one system is better than another, over tasks and data sets."""

    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class QuestionComparison:
    """One question under all systems.

    Attributes:
        results: Each system's result of it, by the system's name.
    """

    results: Mapping[str, QuestionResult]

    @property
    def row(self) -> Row:
        """The question, with the first system's prediction."""
        return next(iter(self.results.values())).row

    @property
    def is_flipped(self) -> bool:
        """Whether one system is right and another wrong or silent."""
        return any(self.flips(*pair) or self.flips(*reversed(pair)) for pair in combinations(self.results, 2))

    def flips(self, right: str, wrong: str) -> bool:
        """Whether one system is right, and another wrong or silent; partly right is neither."""
        other = self.results[wrong].correctness
        return self.results[right].correctness is Correctness.RIGHT and other in (
            Correctness.WRONG,
            Correctness.MISSING,
        )


@dataclass(frozen=True)
class SystemsComparison:
    """All that is known of systems beside each other.

    Attributes:
        systems: Their names.
        rankings: By task and protocol.
        cells: By task and data set.
        pairs: Differences by task, protocol and pair.
        questions: Every question.
    """

    systems: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    cells: tuple[Ranking, ...]
    pairs: tuple[Comparison, ...]
    questions: tuple[QuestionComparison, ...]

    @property
    def flipped(self) -> list[QuestionComparison]:
        """The questions that one system has right and another wrong."""
        return [one for one in self.questions if one.is_flipped]

    def flips(self, right: str, wrong: str) -> int:
        """How many questions one system has right and another wrong."""
        return sum(one.flips(right, wrong) for one in self.questions)

    def tally(self, system: str, other: str) -> Tally:
        """How often a system has the better score of a task and data set; scores that are NaN count for nothing."""
        orders = [compare_scores(cell.measure, cell.scores[other], cell.scores[system]) for cell in self.cells]
        return Tally(orders.count(1), orders.count(0), orders.count(-1))


def compare_scores(measure: Measure, first: float, second: float) -> int | None:
    """Whether the second score is better (1), equal (0) or worse (-1); None where one is NaN."""
    if math.isnan(first) or math.isnan(second):
        return None
    gain = 0.0 if first == second else measure.gain(second, first)
    return 0 if abs(gain) <= _SAME else int(math.copysign(1, gain))


def compare_systems(
    systems: Mapping[str, Rows], pairs: Iterable[Pair] | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> SystemsComparison:
    """Compares systems by each task's first measure.

    Ranks are of the scores; how stable they are is the share of resamples of images in which they hold. A difference is
    tested by swapping two systems' answers, see `swap_p_value`; Holm's correction is made within each protocol, over
    all its tasks and pairs.

    Args:
        systems: The systems' rows by name, on the same truth in the same order.
        pairs: Which to compare with which; all by default.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Raises:
        ValueError: There are fewer than two, or they have different truths.
    """
    if len(systems) < 2:
        raise ValueError("fewer than two systems")
    if len({tuple(row.place for row in rows) for rows in systems.values()}) > 1:
        raise ValueError("the systems were matched with different truths")
    wanted = list(pairs) if pairs is not None else list(combinations(systems, 2))
    contests = list(_contests(systems, resamples, seed))
    results = {name: evaluate_questions(rows) for name, rows in systems.items()}
    return SystemsComparison(
        systems=tuple(systems),
        rankings=tuple(contest.rank() for contest in contests),
        cells=tuple(contest.rank() for contest in _cells(systems, resamples, seed)),
        pairs=tuple(compare_pairs(contests, wanted, resamples, seed)),
        questions=tuple(
            QuestionComparison(dict(zip(results, one, strict=True))) for one in zip(*results.values(), strict=True)
        ),
    )


def system_names(paths: Sequence[Path]) -> list[str]:
    """Distinct names of predictions files: the files' own where they differ, else their folders', else both."""
    ways = (lambda path: path.stem, lambda path: path.parent.name, lambda path: f"{path.parent.name}/{path.stem}")
    for way in ways:
        names = [way(path) for path in map(Path.absolute, paths)]
        if len({*names}) == len(names) and all(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


@dataclass(frozen=True)
class Contest:
    """Systems' answers to the questions of one task, and their scores.

    Attributes:
        task: The task.
        measure: The measure.
        scoring: The protocol; None for one data set by itself.
        dataset: The data set; None for all.
        rows: Each system's rows, by its name.
        member: The number of each question's image, (questions,).
        values: (systems,): each system's score.
        resampled: (systems, resamples): its scores of resamples.
    """

    task: TaskType
    measure: Measure
    scoring: Scoring | None
    dataset: str | None
    rows: Mapping[str, Rows]
    member: Clusters
    values: NDArray[np.float64]
    resampled: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        task: TaskType,
        measure: Measure,
        scoring: Scoring | None,
        dataset: str | None,
        rows: Mapping[str, Rows],
        bootstrap: Bootstrap,
    ) -> Self:
        """Scores each system's rows and their resamples."""
        make = scoring.statistic if scoring else measure.statistic
        statistics = [make(own) for own in rows.values()]
        values = np.array([score_of(statistic, len(bootstrap.member)) for statistic in statistics])
        resampled = np.stack([bootstrap.scores(statistic) for statistic in statistics])
        return cls(task, measure, scoring, dataset, rows, bootstrap.member, values, resampled)

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.member.max()) + 1

    def rank(self) -> Ranking:
        """The systems in order, and how stable the order is."""
        names = list(self.rows)
        ranks = _ranks(self.values[:, None], self.measure)[:, 0]
        drawn = _ranks(self.resampled, self.measure)
        shares = [tuple(float((row == place + 1).mean()) for place in range(len(names))) for row in drawn]
        if self.images < 2:
            shares = [(math.nan,) * len(names)] * len(names)
        return Ranking(
            self.task, self.measure, self.scoring, self.dataset, len(self.member), self.images,
            scores=dict(zip(names, map(float, self.values), strict=True)),
            ranks=dict(zip(names, map(int, ranks), strict=True)),
            shares=dict(zip(names, shares, strict=True)),
        )  # fmt: skip

    def compare(self, scoring: Scoring, pair: Pair) -> Comparison:
        """The second of two systems over the first, not tested yet."""
        one, other = (list(self.rows).index(name) for name in pair)
        before, after = float(self.values[one]), float(self.values[other])
        with np.errstate(invalid="ignore"):
            gains = self.resampled[other] - self.resampled[one]
        gains = gains if self.measure.direction == "higher" else -gains
        gain = difference(self.measure.gain(after, before), gains, self.images)
        power = None
        if not math.isnan(gain.low):
            power = power_of(gain.value, standard_error(gains, self.images), len(self.member))
        return Comparison(self.task, self.measure, scoring, pair, before, after, gain, power=power)


def compare_pairs(
    contests: Iterable[Contest], pairs: Sequence[Pair], resamples: int, seed: int
) -> Iterator[Comparison]:
    """Compares pairs of systems in each contest, with p-values corrected within each protocol.

    Args:
        contests: The contests under protocols.
        pairs: Names of the first system and the second.
        resamples: Fewest draws of a test.
        seed: Random seed.
    """
    drafts = [
        (contest, contest.compare(contest.scoring, pair)) for contest in contests if contest.scoring for pair in pairs
    ]
    testable = Counter(draft.scoring.protocol for _, draft in drafts if not math.isnan(draft.gain.low))
    tested = []
    for contest, draft in drafts:
        p_value = math.nan
        if not math.isnan(draft.gain.low):
            pooled = draft.scoring.statistic([row for name in draft.systems for row in contest.rows[name]])
            draws = draws_for(testable[draft.scoring.protocol], resamples)
            p_value = swap_p_value(pooled, contest.member, draft.second - draft.first, draws, seed)
        tested.append(replace(draft, p_value=p_value))
    corrected: dict[int, float] = {}
    for protocol in testable:
        places = [place for place, one in enumerate(tested) if one.scoring.protocol == protocol]
        corrected |= dict(zip(places, holm([tested[place].p_value for place in places]), strict=True))
    for place, one in enumerate(tested):
        yield replace(one, corrected=corrected.get(place, math.nan))


def _contests(systems: Mapping[str, Rows], resamples: int, seed: int) -> Iterator[Contest]:
    """The contests of each task under each protocol."""
    for task, measure, scoring, chosen in applicable(next(iter(systems.values()))):
        if measure == metrics_of(task).main and scoring.protocol in shown_protocols():
            rows = {name: [own[index] for index in chosen] for name, own in systems.items()}
            yield Contest.of(task, measure, scoring, None, rows, _bootstrap(rows, resamples, seed))


def _cells(systems: Mapping[str, Rows], resamples: int, seed: int) -> Iterator[Contest]:
    """The contests of each task and data set."""
    groups: dict[tuple[TaskType, str], list[int]] = {}
    for index, row in enumerate(next(iter(systems.values()))):
        groups.setdefault((row.task, row.dataset), []).append(index)
    order = list(TASKS)
    for (task, dataset), chosen in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        rows = {name: [own[index] for index in chosen] for name, own in systems.items()}
        yield Contest.of(task, metrics_of(task).main, None, dataset, rows, _bootstrap(rows, resamples, seed))


def _bootstrap(rows: Mapping[str, Rows], resamples: int, seed: int) -> Bootstrap:
    return Bootstrap([row.cluster for row in next(iter(rows.values()))], resamples, seed)


def _ranks(scores: NDArray[np.float64], measure: Measure) -> NDArray[np.int64]:
    """The rank of each of (systems, resamples), 1 for the best, alike for equal ones; 0 for NaN."""
    upward = scores if measure.direction == "higher" else -scores
    with np.errstate(invalid="ignore"):
        better = (upward[None] > upward[:, None] + _SAME).sum(axis=1)
    return np.where(np.isnan(scores), 0, 1 + better)
