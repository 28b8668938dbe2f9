from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mevlip.tasks import TaskType
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.matching import Matched, Row
from mevlip_validation.output import as_json, number, render_heavy_rows, render_scores, score_rows
from mevlip_validation.score import score
from tests.validation.rows import answers, make_row


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
    ("value", "text"),
    [(0.12345, "0.123"), (12.345, "12.3"), (math.inf, "inf"), (math.nan, "-"), (-0.5, "-0.500"), (-math.inf, "-inf")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def counts(*errors: float) -> list[Row]:
    return [
        replace(make_row(TaskType.COUNTING, str(10 + error), "10", image=f"{i}"), place=f"f[{i}]")
        for i, error in enumerate(errors)
    ]


def test_a_row_that_makes_much_of_a_mean_error_is_named() -> None:
    found = score(counts(*[1] * 30, 2085))
    heavy = {one.scoring.protocol: one.heavy_row for one in found if one.is_main}
    assert {one.place for one in heavy.values() if one} == {"f[30]"}
    assert heavy["macro"] and heavy["macro"].share == pytest.approx(2085 / 2115)
    [line] = render_heavy_rows(found)
    assert line == "Counting: one row, f[30], makes 99% (flare25), 99% (flare26), 99% (macro) of the mean error."
    content = as_json(Matched(()), found)["scores"]
    assert content[0]["heavy_row"] == {"place": "f[30]", "share": pytest.approx(2085 / 2115)}


def test_no_row_is_named_where_errors_are_alike_or_few_or_answers_are_no_numbers() -> None:
    for rows in (counts(*[1] * 30), counts(1, 30), counts(*[0] * 30), answers(0.9, 1)):
        assert render_heavy_rows(score(rows)) == []


def test_the_row_that_makes_an_error_infinite_is_named() -> None:
    rows = [replace(row, answers=("many",)) if index == 3 else row for index, row in enumerate(counts(*[1] * 12))]
    [flare25] = [one for one in score(rows) if one.is_main and one.scoring.protocol == "flare25"]
    assert math.isinf(flare25.estimate.value) and flare25.heavy_row
    assert (flare25.heavy_row.place, flare25.heavy_row.share) == ("f[3]", 1.0)
