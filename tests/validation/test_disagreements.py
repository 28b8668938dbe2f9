"""Every cause has rows by hand that show it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import inf, isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.tasks import TaskType
from mevlip_validation.disagreements import Cause, counts, disagreements, own_scores
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import scorings
from mevlip_validation.statistics import MacroAverage
from tests.validation.rows import make_row

CLS, MULTI, DET, INST, COUNT, MEASURE = list(TaskType)[:6]
BOX, OTHER = [0, 0, 10, 10], [50, 50, 60, 60]
ONE = json.dumps([BOX])
NAMED = json.dumps({"1": [BOX], "X": [OTHER]})

CASES: list[tuple[Cause, TaskType, Any, Any]] = [
    (Cause.NO_PREDICTION, CLS, None, "A"),
    (Cause.NO_PREDICTION, DET, None, ONE),
    (Cause.NO_PREDICTION, COUNT, None, "3"),
    (Cause.TRUTH, COUNT, "3", "three"),
    (Cause.TRUTH, DET, json.dumps([BOX, [5, 5, 5, 5]]), json.dumps([BOX, [5, 5, 5, 5]])),
    (Cause.BLANKS, CLS, "Luminal  b", "Luminal b"),
    (Cause.BLANKS, MULTI, "Dental  Caries", "Dental Caries"),
    (Cause.CHOICE_TEXT, CLS, "B.", "B"),
    (Cause.CHOICE_TEXT, CLS, "The answer is B", "B"),
    (Cause.CHOICE_UNREAD, CLS, "Z", "Z"),
    (Cause.LABELS_NOTHING, MULTI, "Dental Caries; None", "Dental Caries"),
    (Cause.LABELS_JSON, MULTI, '["Dental Caries", "Pulp Diseases"]', "Dental Caries; Pulp Diseases"),
    (Cause.LABELS_JSON, MULTI, ["Dental Caries"], "Dental Caries"),
    (Cause.LABELS_SEPARATOR, MULTI, "Dental Caries|Pulp Diseases", "Dental Caries; Pulp Diseases"),
    (Cause.LABELS_MEANT, MULTI, "Dental Caries.", "Dental Caries"),
    (Cause.BOXES_FLAT, DET, json.dumps(BOX), ONE),
    (Cause.BOXES_UNREADABLE, DET, "The box is [0, 0, 10, 10].", ONE),
    (Cause.BOXES_UNREADABLE, DET, "[[0, 0, 10, 10], [20, 2", ONE),
    (Cause.BOXES_UNREADABLE, INST, "nowhere", NAMED),
    (Cause.BOXES_NOTATION, DET, json.dumps([{"bbox": BOX}]), ONE),
    (Cause.BOXES_NOTATION, DET, json.dumps({"bbox": BOX}), ONE),
    (Cause.BOXES_PART, DET, json.dumps([BOX, [1, 2]]), ONE),
    (Cause.BOXES_MEANT, DET, json.dumps([BOX, BOX]), ONE),
    (Cause.INSTANCES_UNNAMED, INST, json.dumps([BOX, OTHER]), NAMED),
    (Cause.INSTANCES_CASE, INST, json.dumps({"1": [BOX], "x": [OTHER]}), NAMED),
    (Cause.BOXES_PART, INST, json.dumps({"1": [BOX, [1, 2]], "X": [OTHER]}), NAMED),
    (Cause.BOXES_EXTRA, INST, json.dumps({"1": [BOX, "none"], "X": [OTHER]}), NAMED),
    (Cause.THRESHOLD, DET, json.dumps([[0, 0, 10, 5]]), ONE),
    (Cause.NUMBER_NOT_BARE, COUNT, "12 cells", "12"),
    (Cause.NUMBER_NOT_BARE, MEASURE, "12.5 mm", "12.5"),
    (Cause.NUMBER_NONE, COUNT, "many", "12"),
    (Cause.NUMBER_WORDS, COUNT, "twelve", "12"),
    (Cause.NUMBER_NOTATION, MEASURE, "1.5e2", "150"),
    (Cause.NUMBER_MEANT, COUNT, "-3", "12"),
]


@pytest.mark.parametrize(("cause", "task", "said", "truth"), CASES)
def test_a_disagreement_has_the_cause_that_it_has(cause: Cause, task: TaskType, said: Any, truth: Any) -> None:
    [found] = disagreements([make_row(task, said, truth)])
    assert found.cause is cause


def test_a_label_with_a_comma_is_cut_by_the_evaluators() -> None:
    row = replace(
        make_row(MULTI, "Caries, deep; Pulp Diseases", "Caries, deep"),
        question="All that apply, with semicolons: Caries, deep; Pulp Diseases.",
    )
    assert {one.cause for one in disagreements([row])} <= {Cause.LABELS_CUT, Cause.LABELS_SEPARATOR}
    same = replace(row, truth="Caries, deep", answers=("Caries, shallow",))
    assert [one.cause for one in disagreements([same])] == [Cause.LABELS_CUT]


def test_labels_that_commas_separate_are_not_cut() -> None:
    row = replace(
        make_row(MULTI, "Round shadow, Old crack.", "Round shadow, Old crack"),
        question="All that apply, separated by commas: Round shadow, Old crack, Wide heart.",
    )
    assert [one.cause for one in disagreements([row])] == [Cause.LABELS_MEANT]


def test_no_label_asked_for_and_none_named() -> None:
    row = replace(make_row(MULTI, "", ""), truth=" ; ")
    assert [one.cause for one in disagreements([row])] == [Cause.LABELS_BOTH_EMPTY]


def test_of_several_answers_flare25_takes_the_last() -> None:
    row = replace(make_row(CLS, "B", "B"), answers=("B", "A"))
    [found] = disagreements([row])
    assert found.cause is Cause.REPEATED_ANSWER and (found.scores["flare25"], found.scores["macro"]) == (0, 1)


def test_of_a_repeated_question_flare25_knows_the_last() -> None:
    first = replace(make_row(CLS, "B", "B"), is_last=False)
    [found] = disagreements([first, replace(first, is_last=True, turn=1, answers=("B", "B"))])
    assert found.cause is Cause.REPEATED_QUESTION and found.row is first and isnan(found.scores["flare25"])


def test_boxes_that_are_paired_in_another_order() -> None:
    truth = [[0, 0, 100, 100], [0, 36, 100, 136]]
    said = [[0, 30, 100, 130], [0, 45, 100, 145]]
    [found] = disagreements([make_row(DET, json.dumps(said), json.dumps(truth))])
    assert found.cause is Cause.MATCHING
    assert found.scores == {"flare25": 1, "board2026": 1, "flare26": 0.5, "macro": 0.5}


def test_answers_that_all_read_alike_are_not_listed() -> None:
    rows = [
        make_row(CLS, "B", "B"), make_row(CLS, "A", "B"), make_row(DET, ONE, ONE), make_row(INST, NAMED, NAMED),
        make_row(DET, json.dumps([OTHER]), ONE), make_row(COUNT, "3", "12"),
        make_row(MULTI, "Dental Caries", "Dental Caries"), make_row(TaskType.REPORT, None, "All is well."),
    ]  # fmt: skip
    assert disagreements(rows) == []


def test_each_protocol_says_what_the_question_scores() -> None:
    rows = [make_row(COUNT, "12 cells", "10", image="b.png"), make_row(CLS, "B", "B"), make_row(CLS, "B.", "B")]
    found = disagreements(rows)
    assert [one.row for one in found] == [rows[0], rows[2]], "in the order of the rows"
    assert found[0].scores == {"flare25": inf, "flare26": 2, "macro": 2}
    assert found[1].scores == {"flare25": 0, "flare26": 0, "board2026": 0, "macro": 1}
    assert counts(found) == Counter({Cause.NUMBER_NOT_BARE: 1, Cause.CHOICE_TEXT: 1})


def test_own_scores_are_those_of_each_question_alone() -> None:
    rows = [make_row(task, said, truth, "ab"[n % 2], f"{n}.png") for n, (_, task, said, truth) in enumerate(CASES)]
    for task in (CLS, MULTI, DET, INST, COUNT, MEASURE):
        mine = [row for row in rows if row.task is task]
        for scoring in scorings(task, metrics_of(task).main):
            together = own_scores(scoring.statistic(mine), len(mine))
            alone = [float(scoring.statistic([row]).scores(np.ones((1, 1)))[0]) for row in mine]
            for one, other in zip(together, alone, strict=True):
                assert one == other or (isnan(one) and (isnan(other) or other == 0)), (scoring.signature, one, other)


def test_a_statistic_of_another_kind_is_asked_for_each_question() -> None:
    class Strange:
        def scores(self, weights: Any) -> Any:
            return weights @ np.array([1.0, 2.0, 3.0])

    assert own_scores(Strange(), 3) == [1, 2, 3]
    assert own_scores(MacroAverage((Strange(),), ((2, 0, 1),)), 3) == [2, 3, 1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([ONE, NAMED, "12 mm"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)


@given(st.sampled_from([CLS, MULTI, DET, INST, COUNT, MEASURE]), JSON, st.sampled_from(["A", "3", ONE, NAMED]))
def test_whatever_stands_in_an_answer_has_a_cause(task: TaskType, said: Any, truth: str) -> None:
    rows = [make_row(task, value, truth) for value in (said, json.dumps(said)) if value is not None]
    assert len(disagreements(rows)) <= len(rows)


def test_every_cause_but_the_last_is_shown_here() -> None:
    elsewhere = {
        Cause.LABELS_CUT,
        Cause.LABELS_BOTH_EMPTY,
        Cause.REPEATED_ANSWER,
        Cause.REPEATED_QUESTION,
        Cause.MATCHING,
    }
    assert {cause for cause, *_ in CASES} | elsewhere == {*Cause} - {Cause.OTHER}
