"""Each task's measures under three conventions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import nan

from mevlip.tasks import TASKS, Direction, TaskType
from mevlip_validation.scoring import texts
from mevlip_validation.scoring.rules import flare25, flare26, macro
from mevlip_validation.scoring.rules.base import Measure, Rows, Rule
from mevlip_validation.scoring.tallies import Statistic, Tally, Values

__all__ = ["CONVENTION_NAMES", "JUDGES", "OFFICIAL_JUDGES", "THRESHOLDS", "Measure", "Rule", "main_measure",
           "meant_rule", "measures"]  # fmt: skip

CONVENTION_NAMES = ("flare25", "flare26", "macro")
THRESHOLDS = (0.5, 0.3, 0.4, 0.6, 0.7)
"""Least overlaps of a found box; the first is the challenge's."""

JUDGES: dict[str, tuple[str, Direction]] = {
    "GREEN": ("flare25", "higher"),
    "CRIMSON": ("flare26", "higher"),
    "RaTE": ("macro", "higher"),
    "RadCliQ": ("macro", "lower"),
}
"""Model-based scorers of reports: the convention that they belong to, and whether more is better."""
OFFICIAL_JUDGES = tuple(name for name, (convention, _) in JUDGES.items() if convention != "macro")
"""The challenge's own measures of reports, in 2025 and 2026."""

_BOX_TASKS = frozenset({TaskType.DETECTION, TaskType.INSTANCE_DETECTION})
_ERRORS: dict[str, tuple[str, Statistic]] = {
    "mean absolute error": ("mae", "mean"),
    "root mean square error": ("rmse", "rms"),
    "median absolute error": ("median-error", "median"),
}

_Tallies = tuple[str, Callable[[Rows], Tally]]


@cache
def measures(task: TaskType) -> tuple[Measure, ...]:
    """A task's measures, the challenge's own first; that of reports needs a judge, so ROUGE-L stands in its place."""
    match task:
        case TaskType.CLASSIFICATION:
            return (
                _measure(
                    task,
                    "balanced accuracy",
                    ("balanced-accuracy@exact,nocase,pooled", flare25.choices),
                    ("balanced-accuracy@exact,nocase,pooled", flare26.choices),
                    ("balanced-accuracy@meant", macro.choices),
                ),
            )
        case TaskType.MULTI_LABEL:
            return (
                _measure(
                    task,
                    "F1",
                    ("f1@split[;,],nocase,micro", flare25.labels),
                    ("f1@split[;]or[,],nocase,mean-of-rows", flare26.labels),
                    ("f1@meant,mean-of-rows", macro.labels),
                ),
            )
        case TaskType.DETECTION | TaskType.INSTANCE_DETECTION:
            return tuple(_boxes(task, threshold) for threshold in THRESHOLDS)
        case TaskType.COUNTING | TaskType.REGRESSION:
            return tuple(
                _measure(
                    task,
                    name,
                    (f"{short}@bare-number,unreadable=inf,pooled", flare25.errors(statistic)),
                    (f"{short}@first-number,unreadable=0,pooled", flare26.errors(statistic)),
                    (f"{short}@meant,unreadable=0", macro.errors(statistic)),
                )
                for name, (short, statistic) in _ERRORS.items()
            )
        case TaskType.REPORT:
            written = (
                _own("ROUGE-L", f"rouge-l@{texts.ROUGE},mean-of-rows", texts.rouge_l),
                _own("BLEU", f"bleu@{texts.BLEU},effective-order,corpus", texts.bleu),
                _own("CIDEr", "cider-d@words,df-of-truth,mean-of-rows", texts.cider),
                _own("statement F1", "statement-f1@sentences,nocase,mean-of-rows", texts.statements),
            )
            return (*written, *(_judged(name, *facts) for name, facts in JUDGES.items()))


def main_measure(task: TaskType) -> Measure:
    """The first of a task's measures, by which systems are compared."""
    return measures(task)[0]


def meant_rule(task: TaskType) -> Rule:
    """How a task's first measure is taken of what answers mean; every task has one."""
    rule = main_measure(task).under("macro")
    assert rule is not None, task  # noqa: S101 - by `measures`
    return rule


def _measure(task: TaskType, name: str, first: _Tallies, second: _Tallies, third: _Tallies) -> Measure:
    mine = frozenset({task})
    rules = (
        Rule("flare25", *first, mine),
        Rule("flare26", *second, mine),
        Rule("macro", f"{third[0]},per-dataset", macro.per_dataset(third[1]), mine),
    )
    return Measure(name, TASKS[task].direction, rules)


def _boxes(task: TaskType, threshold: float) -> Measure:
    mine, both = frozenset({task}), task is TaskType.DETECTION
    at, pooled = f"iou>={threshold}", "greedy-by-overlap,micro"
    first = (
        Rule("flare25", f"f1@iou>{threshold},greedy-by-truth,micro", flare25.boxes(threshold), mine)
        if both
        else Rule("flare25", f"f1@{at},per-identity,{pooled}", flare25.instances(threshold), mine)
    )
    second = Rule(
        "flare26",
        f"f1@{at},identity-if-both,{pooled}{',with-instances' if both else ''}",
        flare26.boxes(threshold),
        _BOX_TASKS if both else mine,
    )
    third = Rule("macro", f"f1@{at},meant,{pooled},per-dataset", macro.per_dataset(macro.boxes(threshold)), mine)
    return Measure(f"F1 at IoU {threshold}", "higher", (first, second, third))


def _own(name: str, how: str, tally: Callable[[Rows], Tally]) -> Measure:
    """A measure of texts that no public evaluator of the challenge takes."""
    rule = Rule("macro", f"{how},per-dataset", macro.per_dataset(tally), frozenset({TaskType.REPORT}))
    return Measure(name, "higher", (rule,))


def _judged(name: str, convention: str, direction: Direction) -> Measure:
    def tally(rows: Rows) -> Values:
        return Values(tuple(row.judgments.get(name, nan) for row in rows))

    rule = Rule(convention, f"{name.lower()}@judged,failed=left-out,mean", tally, frozenset({TaskType.REPORT}))
    return Measure(name, direction, (rule,))
