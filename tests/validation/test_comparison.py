from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mevlip.tasks import TaskType
from mevlip_validation.comparison import (
    Comparison,
    SystemsComparison,
    Tally,
    compare_scores,
    compare_systems,
    system_names,
)
from mevlip_validation.comparison_output import (
    as_json,
    cell_table,
    gain_table,
    power_table,
    render,
    winner_table,
    write_flipped,
)
from mevlip_validation.intervals import Estimate
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of
from tests.validation.rows import answers, make_row, scoring_of


def counting(*said: str, dataset: str = "one") -> list[Row]:
    """Counts of ten, each about an image of its own."""
    rows = [make_row(TaskType.COUNTING, text, "10", dataset, f"{i}") for i, text in enumerate(said)]
    return [replace(row, place=f"{dataset}[{i}]") for i, row in enumerate(rows)]


def pairs_of(**systems: list[Row]) -> tuple[Comparison, ...]:
    return compare_systems(systems).pairs


def under(protocol: str, found: SystemsComparison) -> Comparison:
    return next(one for one in found.pairs if one.scoring.protocol == protocol)


def test_a_planted_difference_is_found() -> None:
    worse, better = answers(0.5, 1), answers(0.95, 2)
    assert {one.verdict for one in pairs_of(a=worse, b=better)} == {"win"}
    assert {one.verdict for one in pairs_of(a=better, b=worse)} == {"lose"}


@pytest.mark.slow
def test_equal_systems_tie_in_nearly_every_draw() -> None:
    tables = [pairs_of(a=answers(0.7, 2 * seed), b=answers(0.7, 2 * seed + 1)) for seed in range(60)]
    assert sum(table[0].verdict == "tie" for table in tables) >= 54


def test_a_system_ties_with_itself_and_gains_nothing() -> None:
    rows = answers(0.7, 0)
    found = {(one.verdict, one.gain.value, one.gain.low, one.p_value) for one in pairs_of(a=rows, b=rows)}
    assert found == {("tie", 0.0, 0.0, 1.0)}


def test_less_error_is_a_gain() -> None:
    one = under("flare26", compare_systems({"far": counting(*["30"] * 9), "near": counting(*["11"] * 9)}))
    assert (one.verdict, one.gain.value, one.systems) == ("win", 19.0, ("far", "near"))
    assert one.p_value == pytest.approx(2 / 2**9, abs=0.005)


def test_a_finite_error_wins_against_an_infinite_one_and_two_infinite_ones_tie() -> None:
    broken, whole = counting("many", "11", "11"), counting("11", "11", "11")
    assert under("flare25", compare_systems({"a": broken, "b": whole})).verdict == "win"
    lost = under("flare25", compare_systems({"a": whole, "b": broken}))
    assert (lost.verdict, lost.gain.value, math.isnan(lost.p_value)) == ("lose", -math.inf, True)
    assert under("flare25", compare_systems({"a": broken, "b": broken})).verdict == "tie"
    ranking = next(one for one in compare_systems({"a": broken, "b": whole, "c": broken}).rankings)
    assert dict(ranking.ranks) == {"a": 2, "b": 1, "c": 2}


def test_what_has_no_score_is_not_comparable_and_has_no_rank() -> None:
    """Nothing is answered, which costs nothing under flare25 and leaves nothing to score."""
    silent, spoken = [replace(row, answers=()) for row in answers(1, 0)], answers(1, 0)
    found = compare_systems({"silent": silent, "spoken": spoken})
    assert under("flare25", found).verdict == "not comparable"
    assert dict(found.rankings[0].ranks) == {"silent": 0, "spoken": 1}
    measure = metrics_of(TaskType.COUNTING).main
    assert compare_scores(measure, math.nan, 1.0) is None and compare_scores(measure, math.inf, math.inf) == 0
    assert compare_scores(measure, math.inf, 1.0) == 1 and compare_scores(measure, 1.0, 1.0 + 1e-14) == 0


def test_one_image_shows_nothing() -> None:
    one, other = ([replace(row, images=("a",)) for row in answers(right, 0)] for right in (0, 1))
    assert {one.verdict for one in pairs_of(a=one, b=other)} == {"one image only"}


def test_a_win_takes_both_a_corrected_p_value_and_an_interval() -> None:
    made = under("macro", compare_systems({"a": answers(0.5, 1), "b": answers(0.95, 2)}))
    assert made.verdict == "win"
    assert replace(made, corrected=0.06).verdict == "tie"
    assert replace(made, gain=Estimate(0.4, -0.1, 0.9)).verdict == "tie"


def test_p_values_are_corrected_over_all_tasks_and_pairs_of_a_protocol() -> None:
    rows = {name: answers(right, seed) for seed, (name, right) in enumerate({"a": 0.6, "b": 0.75, "c": 0.8}.items())}
    found = [one for one in compare_systems(rows).pairs if one.scoring.protocol == "macro"]
    order = sorted(found, key=lambda one: one.p_value)
    assert order[0].corrected == pytest.approx(min(1.0, 3 * order[0].p_value))
    assert order[2].corrected == max(order[2].p_value, order[1].corrected)


def test_only_the_pairs_asked_for_are_tested_and_corrected() -> None:
    rows = {name: answers(0.7, seed) for seed, name in enumerate("abc")}
    found = compare_systems(rows, [("c", "a")])
    assert {one.systems for one in found.pairs} == {("c", "a")}
    assert all(one.corrected == one.p_value for one in found.pairs)


def test_the_same_seed_gives_the_same_everything() -> None:
    rows = {name: answers(0.7, seed) for seed, name in enumerate("abc")}
    one, same, other = (json.dumps(as_json(compare_systems(rows, seed=seed), {})) for seed in (1, 1, 2))
    assert one == same != other


def test_other_truths_or_one_system_are_refused() -> None:
    with pytest.raises(ValueError, match="different truths"):
        compare_systems({"a": answers(1, 0), "b": answers(1, 0)[1:]})
    with pytest.raises(ValueError, match="fewer than two"):
        compare_systems({"a": answers(1, 0)})


@pytest.fixture(scope="module")
def three() -> SystemsComparison:
    """Two data sets: `good` and `twin` are equal in the first, `bad` is last in the first and first in the second."""
    systems = {
        "good": counting("10", "10", "12") + counting("14", "15", "16", dataset="two"),
        "twin": counting("10", "10", "12") + counting("13", "15", "16", dataset="two"),
        "bad": counting("20", "30", "40") + counting("10", "10", "10", dataset="two"),
    }
    return compare_systems(systems, resamples=200)


def test_ranks_are_by_task_and_by_data_set(three: SystemsComparison) -> None:
    assert [(cell.dataset, dict(cell.ranks)) for cell in three.cells] == [
        ("one", {"good": 1, "twin": 1, "bad": 3}),
        ("two", {"good": 3, "twin": 2, "bad": 1}),
    ]
    macro = next(one for one in three.rankings if one.scoring and one.scoring.protocol == "macro")
    assert {name: round(value, 3) for name, value in macro.scores.items()} == {"good": 2.833, "twin": 2.667, "bad": 10}
    assert dict(macro.ranks) == {"good": 2, "twin": 1, "bad": 3}
    assert (macro.questions, macro.images, macro.dataset) == (6, 6, None)


def test_ranks_are_as_stable_as_their_resamples(three: SystemsComparison) -> None:
    first, second = three.cells
    assert first.shares["bad"] == (0.0, 0.0, 1.0) and first.shares["good"][0] == first.first_stays == 1.0
    # The one question in which they differ is drawn by 1 - (2/3)^3 of the resamples; else they share the second rank.
    assert second.shares["good"][2] == pytest.approx(19 / 27, abs=0.1)
    assert second.shares["twin"] == (0.0, 1.0, 0.0)
    for ranking in three.rankings:
        assert all(sum(shares) == pytest.approx(1) for shares in ranking.shares.values())


def test_wins_ties_and_losses_are_counted_over_tasks_and_data_sets(three: SystemsComparison) -> None:
    assert three.tally("twin", "good") == Tally(1, 1, 0)
    assert three.tally("bad", "good") == Tally(1, 0, 1) and three.tally("good", "bad") == Tally(1, 0, 1)


def test_flipped_questions_are_right_under_one_and_wrong_under_another(three: SystemsComparison) -> None:
    assert three.flips("good", "bad") == 2 and three.flips("bad", "good") == 3
    assert three.flips("good", "twin") == 0 == three.flips("twin", "good"), "partly right is neither"
    assert [one.row.place for one in three.flipped] == ["one[0]", "one[1]", "two[0]", "two[1]", "two[2]"]
    first = three.flipped[0]
    assert [result.row.prediction for result in first.results.values()] == ["10", "10", "20"]


def test_flipped_questions_are_listed_as_csv(three: SystemsComparison, tmp_path: Path) -> None:
    write_flipped(three, tmp_path / "f.csv")
    header, first, *_ = (tmp_path / "f.csv").read_text().splitlines()
    assert header.startswith("place,dataset,task,image,target,good: prediction,good: correctness,good: points,twin:")
    assert first == "one[0],one,counting,0,10,10,right,1.0,10,right,1.0,20,wrong,0.0"


def test_tables_name_every_system(three: SystemsComparison) -> None:
    header, rows = cell_table(three)
    assert header == ("task", "data set", "questions", "good", "twin", "bad")
    assert rows[0] == ("Counting", "one", "3", "0.667 #1 100%", "0.667 #1 100%", "20.0 #3 100%")
    assert render(three).count("good") >= 5
    assert power_table(three)[1][0][:2] == ("Counting", "twin over good")


def test_winners_are_named_by_letters() -> None:
    good, bad = answers(0.95, 2, 100), answers(0.5, 1, 100)
    header, rows = winner_table(compare_systems({"base": bad, "good": good, "same": good}))
    assert header == ("beats under macro", "a base", "b good", "c same")
    assert rows == [("Classification", "-", "a", "a")]


def test_two_systems_have_a_gain_for_each_protocol() -> None:
    found = compare_systems({"a": answers(0.5, 1), "b": answers(0.95, 2)})
    header, rows = gain_table(found)
    assert header == ("task", "measure", "protocol", "a", "b", "gain", "p", "verdict")
    assert [row[2] for row in rows] == ["flare25", "flare26", "macro"]


def test_json_holds_no_infinity(three: SystemsComparison) -> None:
    broken = compare_systems({"a": counting("many", "11"), "b": counting("12", "11")})
    content = as_json(broken, {"a": Path("x.json")})
    json.dumps(content, allow_nan=False)
    assert content["pairs"][0]["gain"] == {"value": "inf", "low": None, "high": None}
    assert as_json(three, {})["datasets"][1]["systems"]["bad"]["rank"] == 1


def test_a_measure_of_pooled_tasks_is_tested_with_its_rows() -> None:
    detection = [
        replace(make_row(task, "[[0, 0, 9, 9]]", "[[0, 0, 9, 9]]", image=f"{task}{i}"), place=f"{task}[{i}]")
        for task in (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)
        for i in range(3)
    ]
    silent = [replace(row, answers=("[]",)) for row in detection]
    found = compare_systems({"a": silent, "b": detection})
    pooled = scoring_of(TaskType.DETECTION, "flare26")
    assert next(one for one in found.pairs if one.scoring == pooled).p_value == pytest.approx(2 / 2**6, abs=0.02)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/predictions.json", "b/predictions.json"], ["a", "b"]),
        (["one.json", "x/two.json"], ["one", "two"]),
        (["a/1.json", "a/2.json", "b/1.json"], ["a/1", "a/2", "b/1"]),
        (["a/1.json", "a/1.json"], ["a/1 (1)", "a/1 (2)"]),
    ],
)
def test_systems_are_named_by_file_or_folder(paths: list[str], names: list[str]) -> None:
    assert system_names([Path(path) for path in paths]) == names
