"""Single-choice classification: balanced accuracy, and plain accuracy as other benchmarks publish it."""

from __future__ import annotations

from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure, Rows, TaskMetrics, most_frequent_target
from mevlip_validation.statistics import Aggregate, BalancedAccuracy
from mevlip_validation.text_metrics import fold


def balanced_accuracy(rows: Rows) -> BalancedAccuracy:
    """The option meant; a target that is not an option is compared as it stands."""
    return BalancedAccuracy.of(map(_meant, rows))


def accuracy(rows: Rows) -> Aggregate:
    """The share of questions whose right option is meant, whatever options there are."""
    return Aggregate(tuple(float(target == predicted) for target, predicted in map(_meant, rows)))


def _meant(row: Row) -> tuple[str, str]:
    return (
        fold(row.parsed_target.format() if row.parsed_target else row.target),
        fold(row.parsed_prediction.format() if row.parsed_prediction else ""),
    )


METRICS = TaskMetrics(
    measures=(
        Measure("balanced accuracy", "higher", "balanced-accuracy@meant", balanced_accuracy),
        Measure("accuracy", "higher", "accuracy@meant,mean-of-rows", accuracy, is_own=True),
    ),
    constant=most_frequent_target,
    is_single_choice=True,
)
