"""What a task's metrics consist of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import NamedTuple

from mevlip.answers import TypedAnswer
from mevlip.tasks import Direction
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Row
from mevlip_validation.statistics import Aggregation, Scale, Statistic

Rows = Sequence[Row]


@dataclass(frozen=True)
class Measure:
    """One measure of a task.

    Attributes:
        name: Its name for people.
        direction: Whether more or less is better.
        how: The measure of parsed answers with its conditions, as it stands in a signature.
        statistic: Turns rows into contributions, one per row, from what their answers mean; protocols that read
            otherwise bring functions of their own.
        threshold: Least IoU of a found box; NaN for other measures.
        aggregation: How the values of the rows become one.
        is_judgment: Whether a model gives it, so that it is known only for rows with such a judgment.
        is_own: Whether the challenge's evaluators do not know it; only a protocol's `default_scorer` computes it then.
        in_summary: Whether the score table shows it although it is not the task's first measure.
        scale: What values it can take, which decides how its interval is computed.
    """

    name: str
    direction: Direction
    how: str
    statistic: Callable[[Rows], Statistic] = field(compare=False)
    threshold: float = field(default=nan, compare=False)
    aggregation: Aggregation = "mean"
    is_judgment: bool = False
    is_own: bool = False
    in_summary: bool = False
    scale: Scale = "share"

    def gain(self, score: float, other: float) -> float:
        """By how much a score is better than another; negative where it is worse."""
        return score - other if self.direction == "higher" else other - score


class Points(NamedTuple):
    """What one question scores by itself.

    Attributes:
        points: 0 to 1.
        error: Absolute error of a number; None for other tasks, and where the target is not a number.
    """

    points: float
    error: float | None = None


@dataclass(frozen=True)
class TaskMetrics:
    """All that scoring knows of one task: the `METRICS` of `metrics/<task>.py`.

    Attributes:
        measures: The challenge's own measure first; systems are compared by it.
        constant: The best constant answer to questions of one data set, from at least one row with its target.
        points: What one question scores by itself; by default the first measure of that question alone.
        is_empty: Whether a prediction reports nothing: no answer, no box, a count of zero.
        number: The number of a parsed answer, for charts of predicted against true numbers; None for other tasks.
        is_single_choice: Whether each question has one right class, for confusions and for the reliability of the
            chosen option's probability.
    """

    measures: tuple[Measure, ...]
    constant: Callable[[Rows], str]
    points: Callable[[Row], Points] | None = None
    is_empty: Callable[[Row], bool] = field(default=lambda row: is_blank(row.prediction))
    number: Callable[[TypedAnswer | None], float] | None = None
    is_single_choice: bool = False

    @property
    def main(self) -> Measure:
        """The first measure."""
        return self.measures[0]

    def points_of(self, row: Row) -> Points:
        """What one question scores by itself; nothing where its target cannot be scored."""
        if self.points:
            return self.points(row)
        score = score_of(self.main.statistic([row]), 1)
        return Points(0.0 if isnan(score) else score)


def most_frequent_target(rows: Rows) -> str:
    """The most frequent target; of equally frequent ones the first."""
    return Counter(row.target for row in rows).most_common(1)[0][0]


def is_blank(prediction: str | None) -> bool:
    """Whether a text is empty, or an empty list or object."""
    return (prediction or "").strip() in ("", "[]", "[[]]", "{}")
