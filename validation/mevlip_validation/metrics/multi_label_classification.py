"""Multi-label classification: F1 of label sets."""

from __future__ import annotations

from mevlip.answers import TypedAnswer
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip_validation.matching import Row
from mevlip_validation.metrics.base import Measure, Rows, TaskMetrics, most_frequent_target
from mevlip_validation.statistics import Aggregate, set_f1
from mevlip_validation.text_metrics import fold, split_labels


def label_f1(rows: Rows) -> Aggregate:
    """The mean of each row's own F1 of labels; a target outside its own list of labels is split as flare26 does."""

    def f1(row: Row) -> float:
        target = _labels(row.parsed_target) if row.parsed_target else split_labels(row.target)
        return set_f1(target, _labels(row.parsed_prediction))

    return Aggregate(tuple(map(f1, rows)))


def _labels(answer: TypedAnswer | None) -> frozenset[str]:
    match answer:
        case LabelSet(labels=found):
            return frozenset(map(fold, found))
        case Choice(value=value):
            return frozenset({fold(value)})
    return frozenset()


METRICS = TaskMetrics(
    measures=(Measure("F1", "higher", "f1@meant,mean-of-rows", label_f1),),
    constant=most_frequent_target,
)
