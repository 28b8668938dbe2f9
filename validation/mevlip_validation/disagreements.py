"""Why the protocols score one and the same answer differently, question by question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan, nan

import numpy as np

from mevlip.answers import TypedAnswer
from mevlip.answers.labels import LabelSet
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.box_matching import Labeled, iou, labeled
from mevlip_validation.matching import Row, as_text
from mevlip_validation.metrics import metrics_of
from mevlip_validation.metrics.boxes import THRESHOLDS, boxes_of
from mevlip_validation.protocols import flare25, flare26, scorings
from mevlip_validation.statistics import Aggregate, BalancedAccuracy, MacroAverage, MicroF1, Statistic
from mevlip_validation.text_metrics import NO_LABEL, fold

_EPSILON = 1e-9
_THRESHOLD = THRESHOLDS[0]


class Cause(StrEnum):
    """Why protocols disagree, as a sentence. What is said of flare25 holds for board2026, which reads as it does."""

    NO_PREDICTION = "There is no prediction: flare25 leaves the question out, flare26 and macro count it as wrong."
    REPEATED_QUESTION = (
        "The truth has this question more than once: flare25 keeps the last one with the last answer, the others take "
        "them in order."
    )
    REPEATED_ANSWER = "The question was answered more than once: flare25 takes the last answer, the others the first."
    TRUTH = "The target is not in the form that every protocol reads, so they compare with different targets."
    BLANKS = "flare25 compares every blank, flare26 and macro take a run of blanks for one."
    CHOICE_TEXT = "flare25 and flare26 compare exact text, macro reads the option that is meant."
    CHOICE_UNREAD = "The exact text is right, but macro finds no single option of the question in it."
    LABELS_NOTHING = "flare26 takes a word such as `None` for no label, flare25 for a label."
    LABELS_BOTH_EMPTY = "No label is asked for and none is named: flare26 counts that as right, flare25 as nothing."
    LABELS_JSON = "flare26 reads labels written as JSON, flare25 leaves a list out and cuts text at its commas."
    LABELS_SEPARATOR = (
        "flare25 cuts labels at `;` and `,`, flare26 at `;`, bars and line breaks, and at `,` only without those."
    )
    LABELS_CUT = "flare25 and flare26 cut a label that has a comma in it, macro keeps it whole."
    LABELS_MEANT = "flare25 and flare26 compare the spelling of labels, macro reads the labels that are meant."
    BOXES_FLAT = "flare25 takes a flat box for four boxes that match nothing, the others for one box."
    BOXES_UNREADABLE = (
        "flare25 cannot read the answer and leaves the question out, the others count its boxes as found or missed."
    )
    BOXES_NOTATION = "flare25 finds no box in this notation and counts the true ones as missed, the others read it."
    BOXES_PART = "flare26 drops all boxes of an answer with a part that is not a box, the others only that part."
    BOXES_EXTRA = "flare25 counts a part that is not a box as a wrong box, flare26 and macro leave it out."
    BOXES_MEANT = "The evaluators read boxes as they are written, macro repairs or corrects them as the predictor does."
    INSTANCES_UNNAMED = "flare25 and macro want an identity for each box, flare26 matches boxes without one to any."
    INSTANCES_CASE = "flare25 and macro compare the letter case of identities, flare26 does not."
    THRESHOLD = "A box overlaps by exactly the threshold, which is too little for flare25 only."
    MATCHING = "All read the same boxes, but pair them in another order: flare25 by true box, others by overlap."
    NUMBER_NOT_BARE = "flare26 reads the first number, flare25 only a bare one: its error becomes infinite."
    NUMBER_WORDS = "Only macro finds the number: its error is infinite in flare25, and flare26 takes it for 0."
    NUMBER_NONE = "There is no number: its error is infinite in flare25, flare26 and macro take it for 0."
    NUMBER_NOTATION = "flare25 reads the whole notation of the number, flare26 only its first plain digits."
    NUMBER_MEANT = "macro reads the number that is meant, with its unit and notation, flare26 the first one."
    OTHER = "The protocols read or match this answer in ways that have no name here."


@dataclass(frozen=True)
class Disagreement:
    """A question that protocols score differently.

    Attributes:
        row: The question.
        cause: Why.
        scores: What it scores by itself under each protocol: 0 to 1, or an absolute error; NaN where it is left out.
    """

    row: Row
    cause: Cause
    scores: Mapping[str, float]


def disagreements(rows: Sequence[Row]) -> list[Disagreement]:
    """Finds the questions that protocols score differently by the task's first measure.

    Args:
        rows: Truth and predictions.

    Returns:
        The disagreements in the order of the rows. Tasks that one protocol alone scores have none.
    """
    found: dict[int, Disagreement] = {}
    for task in TASKS:
        places = [place for place, row in enumerate(rows) if row.task is task]
        mine = [rows[place] for place in places]
        measure = metrics_of(task).main
        each = {one.protocol: own_scores(one.statistic(mine), len(mine)) for one in scorings(task, measure) if mine}
        for index, place in enumerate(places):
            scores = {protocol: values[index] for protocol, values in each.items()}
            if not _agree([*scores.values()]):
                found[place] = Disagreement(rows[place], explain(rows[place]), scores)
    return [found[place] for place in sorted(found)]


def counts(found: Sequence[Disagreement]) -> Counter[Cause]:
    """How often each cause is there."""
    return Counter(one.cause for one in found)


def own_scores(statistic: Statistic, questions: int) -> list[float]:
    """What each question scores by itself; NaN where it adds nothing to the score of all.

    Args:
        statistic: The contributions of some questions.
        questions: Their number.
    """
    match statistic:
        case BalancedAccuracy(classes, hits):
            return [nan if name is None else float(hit) for name, hit in zip(classes, hits, strict=True)]
        case MicroF1(found, predicted, true):
            return [2 * f / (p + t) if p + t else nan for f, p, t in zip(found, predicted, true, strict=True)]
        case Aggregate(values):
            return [*values]
        case MacroAverage(parts, members):
            scores = {
                place: value
                for part, places in zip(parts, members, strict=True)
                for place, value in zip(places, own_scores(part, len(places)), strict=True)
            }
            return [scores[place] for place in sorted(scores)]
    return [float(value) for value in statistic.scores(np.eye(questions))]


def explain(row: Row) -> Cause:
    """Why protocols score a question differently, from how each of them reads target and answer.

    Args:
        row: A question that they score differently.
    """
    if not row.answers:
        return Cause.NO_PREDICTION
    if not row.is_last or row.turn:
        return Cause.REPEATED_QUESTION
    if as_text(row.answers[-1]) != (row.prediction or ""):
        return Cause.REPEATED_ANSWER
    return _EXPLAIN[row.task](row) if row.task in _EXPLAIN else Cause.OTHER


def _agree(values: Sequence[float]) -> bool:
    first = values[0] if values else nan
    return all(isnan(one) if isnan(first) else abs(one - first) <= _EPSILON or one == first for one in values)


def _choice(row: Row) -> Cause:
    exact, folded = (read(row.answer) == read(row.truth) for read in (flare25.read_choice, flare26.read_choice))
    if exact != folded:
        return Cause.BLANKS
    if exact:
        return Cause.CHOICE_UNREAD
    return Cause.TRUTH if row.parsed_target is None else Cause.CHOICE_TEXT


def _labels(row: Row) -> Cause:
    both = (row.truth, row.answer)
    literal = [flare25.read_labels(one) or frozenset() for one in both]
    tolerant = [flare26.read_labels(one) for one in both]
    if literal != tolerant:
        if [frozenset(map(fold, labels)) for labels in literal] == tolerant:
            return Cause.BLANKS
        if any(label in NO_LABEL for labels in literal for label in labels):
            return Cause.LABELS_NOTHING
        if any(as_text(one).strip()[:1] in ("[", "{") for one in both):
            return Cause.LABELS_JSON
        return Cause.LABELS_SEPARATOR
    if not any(tolerant):
        return Cause.LABELS_BOTH_EMPTY
    meant = [answer for answer in (row.parsed_target, row.parsed_prediction) if isinstance(answer, LabelSet)]
    is_cut = any(re.search("[;,]", label) for answer in meant for label in answer.labels)
    return Cause.LABELS_CUT if is_cut else Cause.LABELS_MEANT


def _boxes(row: Row) -> Cause:
    literal, tolerant = flare25.read_boxes(row.answer), flare26.read_labeled(row.answer)
    if literal is None:
        return Cause.BOXES_UNREADABLE
    if tolerant and not any(literal):
        return Cause.BOXES_FLAT if len(literal) == 4 else Cause.BOXES_NOTATION
    if any(literal) and not tolerant:
        return Cause.BOXES_PART
    return _paired(row, [("", box) for box in literal])


def _instances(row: Row) -> Cause:
    literal, tolerant = flare25.read_instances(row.answer), flare26.read_labeled(row.answer)
    if literal is None:
        return Cause.BOXES_UNREADABLE
    if any(not name for name, _ in tolerant):
        return Cause.INSTANCES_UNNAMED
    if any(map(any, literal.values())) != bool(tolerant):
        return Cause.BOXES_NOTATION if tolerant else Cause.BOXES_PART
    names = {name for name, _ in boxes_of(row.parsed_target)}
    lowered = {name.lower() for name in names}
    if any(name not in names and name.lower() in lowered for name in literal):
        return Cause.INSTANCES_CASE
    return _paired(row, [(name.lower(), box) for name, box in labeled(literal)])


def _paired(row: Row, literal: list[Labeled]) -> Cause:
    """Why boxes score differently although every protocol finds some."""
    target, meant = _lowered(row.parsed_target), _lowered(row.parsed_prediction)
    if sorted(flare26.read_labeled(row.truth)) != target:
        return Cause.TRUTH
    if sorted(flare26.read_labeled(row.answer)) != meant:
        return Cause.BOXES_MEANT
    if sorted(literal) != meant:
        return Cause.BOXES_MEANT if all(box for _, box in literal) else Cause.BOXES_EXTRA
    if any(iou(box, guess) == _THRESHOLD for _, box in target for _, guess in meant):
        return Cause.THRESHOLD
    return Cause.MATCHING


def _lowered(answer: TypedAnswer | None) -> list[Labeled]:
    return sorted((name.lower(), box) for name, box in boxes_of(answer))


def _number(row: Row) -> Cause:
    if flare25.read_number(row.truth) is None or row.parsed_target is None:
        return Cause.TRUTH
    bare, first = flare25.read_number(row.answer), flare26.find_number(row.answer)
    if bare is not None:
        return Cause.NUMBER_NOTATION if bare != first else Cause.NUMBER_MEANT
    if first is not None:
        return Cause.NUMBER_NOT_BARE
    return Cause.NUMBER_NONE if row.parsed_prediction is None else Cause.NUMBER_WORDS


_EXPLAIN: Mapping[TaskType, Callable[[Row], Cause]] = {
    TaskType.CLASSIFICATION: _choice,
    TaskType.MULTI_LABEL: _labels,
    TaskType.DETECTION: _boxes,
    TaskType.INSTANCE_DETECTION: _instances,
    TaskType.COUNTING: _number,
    TaskType.REGRESSION: _number,
}
