"""The mean over data sets, each counting once, of answers read for what they mean.

It asks how good a model is, not how well its spelling suits an evaluator: answers are parsed as the predictor parses
its model's text, see `Row.parsed_prediction`, and scored by the task's own measures, see `mevlip_validation.metrics`. A
missing or unreadable answer is wrong; an unreadable number counts as zero.
"""

from __future__ import annotations

from mevlip_validation.metrics.base import Measure
from mevlip_validation.protocols.base import Formula, Protocol, Rows
from mevlip_validation.statistics import MacroAverage


def average_over_datasets(measure: Measure) -> Formula:
    """The unweighted mean over data sets of a measure of each."""

    def statistic(rows: Rows) -> MacroAverage:
        members: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            members.setdefault(row.dataset, []).append(index)
        parts = tuple(measure.statistic([rows[index] for index in indices]) for indices in members.values())
        return MacroAverage(parts, tuple(map(tuple, members.values())))

    return Formula(f"{measure.how},per-dataset", statistic)


PROTOCOL = Protocol(
    "macro",
    "mean over data sets, by this package",
    default_scorer=average_over_datasets,
    judges=("RaTE", "RadCliQ"),
    version=2,
)
