from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mevlip.tasks import TaskType
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.matching import Matched, Row
from mevlip_validation.output import as_json, compare_rows, number, render_scores, score_rows
from mevlip_validation.score import compare, score
from tests.validation.rows import make_row


def answers(right: float, seed: int, count: int = 60) -> list[Row]:
    """Classification rows, each about an image of its own, of which a share is right."""
    rng = np.random.default_rng(seed)
    truth = ["AB"[index % 2] for index in range(count)]
    said = [t if rng.random() < right else "BA"["AB".index(t)] for t in truth]
    return [
        replace(make_row(TaskType.CLASSIFICATION, s, t, image=f"{i}.png"), place=f"f[{i}]")
        for i, (s, t) in enumerate(zip(said, truth, strict=True))
    ]


def test_a_planted_difference_is_found() -> None:
    verdicts = {one.verdict for one in compare(answers(0.5, 1), answers(0.95, 2))}
    assert verdicts == {"win"}
    assert {one.verdict for one in compare(answers(0.95, 2), answers(0.5, 1))} == {"lose"}


@pytest.mark.slow
def test_equal_systems_tie_in_nearly_every_draw() -> None:
    ties = [compare(answers(0.7, 2 * seed), answers(0.7, 2 * seed + 1), 300)[0].verdict == "tie" for seed in range(100)]
    assert sum(ties) >= 90


def test_a_system_ties_with_itself_and_gains_nothing() -> None:
    rows = answers(0.7, 0)
    assert {(one.verdict, one.gain.value, one.gain.low) for one in compare(rows, rows)} == {("tie", 0.0, 0.0)}


def test_less_error_is_a_gain() -> None:
    far, near = ([make_row(TaskType.COUNTING, said, "10", image=f"{i}") for i in range(9)] for said in ("30", "11"))
    [one] = [one for one in compare(far, near) if one.scoring.protocol == "flare26"]
    assert (one.verdict, one.gain.value) == ("win", 19.0)


def test_an_infinite_score_cannot_be_compared() -> None:
    broken, whole = (
        [make_row(TaskType.COUNTING, said, "10", image=f"{i}") for i in range(3)] for said in ("many", "11")
    )
    assert {one.scoring.protocol: one.verdict for one in compare(broken, whole)}["flare25"] == "not comparable"


def test_other_truths_are_refused() -> None:
    with pytest.raises(ValueError, match="different truths"):
        compare(answers(1, 0), answers(1, 0)[1:])


def test_gains_are_over_what_is_named() -> None:
    rows = answers(0.9, 3)
    found = score(rows, {CONSTANT: constant_rows(rows, rows), "itself": rows})
    assert all(one.others[CONSTANT] == 0.5 and one.gains["itself"] == 0 for one in found)
    table = render_scores(found)
    assert "constant" in table and "itself" in table and "gain" in table


def test_reports_say_that_no_judge_ran() -> None:
    rows = [make_row(TaskType.REPORT, "All is well.", "All is well.")]
    _, cells = score_rows(score(rows))
    assert [row[2] for row in cells] == ["ROUGE-L", "GREEN", "CRIMSON"]
    assert [row[3:5] for row in cells] == [("-", "-"), ("not run", "-"), ("-", "not run")]


def test_judgments_are_scored_where_there_are_some() -> None:
    rows = [make_row(TaskType.REPORT, "x", "y", image=name) for name in "ab"]
    judged = [replace(row, judgments={"GREEN": value}) for row, value in zip(rows, (0.5, math.nan), strict=True)]
    [green] = [one for one in score(judged) if one.measure.name == "GREEN"]
    assert green.estimate.value == 0.5 and green.scoring.signature.startswith("flare25/green@judged")


def test_pooled_instances_do_not_change_the_number_of_questions_told() -> None:
    rows = [
        make_row(TaskType.DETECTION, "[[0, 0, 1, 1]]", "[[0, 0, 1, 1]]"),
        make_row(TaskType.INSTANCE_DETECTION, "{}", "{}"),
    ]
    _, cells = score_rows(score(rows))
    assert [(row[0], row[1]) for row in cells] == [("Detection", "1"), ("Instance detection", "1")]


def test_json_holds_no_infinity_and_every_signature() -> None:
    rows = [make_row(TaskType.COUNTING, "many", "10")]
    content = as_json(Matched(tuple(rows), missing=("x[1]",)), score(rows))
    first = content["scores"][0]
    assert (first["value"], first["low"]) == ("inf", None)
    assert first["signature"] == "flare25/mae@bare-number,unreadable=inf,pooled|2"
    assert content["missing"] == ["x[1]"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (12.345, "12.3"), (math.inf, "inf"), (math.nan, "-"), (-0.5, "-0.500")]
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_the_comparison_table_has_a_row_for_each_protocol() -> None:
    assert [row[2] for row in compare_rows(compare(answers(0.5, 1), answers(0.9, 2)))] == [
        "flare25",
        "flare26",
        "board2026",
        "macro",
    ]
