"""Absolute errors of numbers, shared by counting and regression."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan, nan
from statistics import median

from mevlip.answers import TypedAnswer
from mevlip.answers.numbers import Count, Measurement
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure, Points, Rows
from mevlip_validation.statistics import Aggregate, Aggregation

SIGNATURE_NAMES: dict[Aggregation, str] = {"mean": "mae", "rms": "rmse", "median": "median-error"}
"""What errors are called in signatures."""
_NAMES: dict[Aggregation, str] = {
    "mean": "mean absolute error",
    "rms": "root mean square error",
    "median": "median absolute error",
}


def number_of(answer: TypedAnswer | None) -> float:
    """The number of a parsed answer; 0 where it is not a number."""
    return float(answer.value) if isinstance(answer, Count | Measurement) else 0.0


def error_of(row: Row) -> float:
    """Absolute error of the predicted number; NaN where the target is not a number."""
    if row.parsed_target is None:
        return nan
    return abs(number_of(row.parsed_target) - number_of(row.parsed_prediction))


def error_measures() -> tuple[Measure, ...]:
    """Mean, root mean square and median of the absolute errors; an unreadable prediction counts as 0."""
    return tuple(_error_measure(aggregation) for aggregation in SIGNATURE_NAMES)


def points(row: Row) -> Points:
    """One less the relative error; errors of targets below 1 are taken absolutely."""
    error = error_of(row)
    if isnan(error):
        return Points(0.0)
    scale = max(abs(number_of(row.parsed_target)), 1.0)
    return Points(max(0.0, 1 - error / scale), error)


def median_target(fallback: str, write: Callable[[float], str]) -> Callable[[Rows], str]:
    """The constant with the least absolute error.

    Args:
        fallback: The constant where no target is a number.
        write: Writes a number as an answer.
    """

    def constant(rows: Rows) -> str:
        values = [number_of(row.parsed_target) for row in rows if row.parsed_target is not None]
        return write(median(values)) if values else fallback

    return constant


def _error_measure(aggregation: Aggregation) -> Measure:
    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(map(error_of, rows)), aggregation)

    how = f"{SIGNATURE_NAMES[aggregation]}@meant,unreadable=0"
    return Measure(_NAMES[aggregation], "lower", how, statistic, aggregation=aggregation, scale="error")
