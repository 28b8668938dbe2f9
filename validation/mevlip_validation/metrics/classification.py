"""Single-choice classification: balanced accuracy."""

from __future__ import annotations

from mevlip_validation.metrics.base import Measure, Rows, TaskMetrics, most_frequent_target
from mevlip_validation.statistics import BalancedAccuracy
from mevlip_validation.text_metrics import fold


def balanced_accuracy(rows: Rows) -> BalancedAccuracy:
    """The option meant; a target that is not an option is compared as it stands."""
    return BalancedAccuracy.of(
        (
            fold(row.parsed_target.format() if row.parsed_target else row.target),
            fold(row.parsed_prediction.format() if row.parsed_prediction else ""),
        )
        for row in rows
    )


METRICS = TaskMetrics(
    measures=(Measure("balanced accuracy", "higher", "balanced-accuracy@meant", balanced_accuracy),),
    constant=most_frequent_target,
    is_single_choice=True,
)
