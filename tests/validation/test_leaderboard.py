from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from mevlip_validation.leaderboard import Board, boards, boards_as_json, render
from mevlip_validation.score_files import read_runs
from tests.validation.score_files import counting, make_score, write_scores

OTHER = "sha256:" + "1" * 64


def read(folder: Path, protocol: str = "macro") -> list[Board]:
    return boards(read_runs(folder)[0], protocol)


def names(board: Board) -> list[str]:
    return [one.run.name for one in board.standings]


def test_the_best_come_first_by_the_mean_of_their_ranks(tmp_path: Path) -> None:
    for name, accuracy, error in (("a", 0.9, 30.0), ("b", 0.8, 1.0), ("c", 0.7, 2.0), ("d", 0.9, "inf")):
        write_scores(tmp_path / f"{name}.json", make_score(accuracy), counting(error))
    [board] = read(tmp_path)
    assert [(one.run.name, one.rank) for one in board.standings] == [("b", 2), ("a", 2.25), ("d", 2.75), ("c", 3)]
    accuracy, error = board.main_columns
    assert board.best(accuracy) == 0.9 and board.best(error) == 1
    assert board.constant(accuracy) == 0.25


def test_another_protocol_orders_otherwise(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.json", make_score(0.9), make_score(0.1, "flare25"))
    write_scores(tmp_path / "b.json", make_score(0.8), make_score(0.2, "flare25"))
    assert names(read(tmp_path)[0]) == ["a", "b"] and names(read(tmp_path, "flare25")[0]) == ["b", "a"]


def test_a_run_without_a_score_is_last_there(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.json", make_score(0.9))
    write_scores(tmp_path / "b.json", make_score(0.8), counting(7.0))
    write_scores(tmp_path / "c.json", make_score(None), counting(3.0))
    [board] = read(tmp_path)
    assert [(one.run.name, one.rank) for one in board.standings] == [("a", 2), ("b", 2), ("c", 2)]
    assert board.results(board.columns[1])[0] is None


def test_scores_of_different_truths_are_never_mixed(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.json", make_score(0.9), digest=OTHER)
    for name in "bc":
        write_scores(tmp_path / f"{name}.json", make_score(0.8))
    assert [names(board) for board in read(tmp_path)] == [["b", "c"], ["a"]]


def test_another_signature_gets_a_table_of_its_own_with_the_reason(tmp_path: Path) -> None:
    old = make_score(0.99, signature="macro/balanced-accuracy|0")
    write_scores(tmp_path / "new.json", make_score(0.5), counting(1.0), written="2025-02-01T00:00:00+00:00")
    write_scores(tmp_path / "older.json", old, counting(1.0))
    write_scores(tmp_path / "oldest.json", old, counting(9.0))
    first, second = read(tmp_path)
    assert names(first) == ["new"] and not first.differences
    assert names(second) == ["older", "oldest"]
    [difference] = second.differences
    assert (difference.here.signature, difference.there) == ("macro/balanced-accuracy|0", "macro/balanced-accuracy|1")
    for board in (first, second):
        assert len({column.place for column in board.columns}) == len(board.columns), "one definition in one column"
    assert "macro/balanced-accuracy|0 here, macro/balanced-accuracy|1 there" in render(second)


def test_measures_beside_the_first_do_not_rank(tmp_path: Path) -> None:
    def extra(value: float) -> dict[str, Any]:
        return make_score(value, measure="second", signature="macro/second|1")

    write_scores(tmp_path / "a.json", make_score(0.5), extra(0.9))
    write_scores(tmp_path / "b.json", make_score(0.6), extra(0.1))
    [board] = read(tmp_path)
    assert names(board) == ["b", "a"] and len(board.columns) == 2 and len(board.ranking_columns) == 1


def test_the_terminal_shows_what_was_scored_and_marks_the_best(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.json", make_score(0.9), counting(3.0), missing=["x[0]", "x[1]"])
    write_scores(tmp_path / "b\x1b.json", make_score(0.8), counting("inf"))
    headline, header, _, first, second, partial = render(read(tmp_path)[0]).splitlines()
    assert "split: 9 questions (sha256:000000000000), 2 runs" in headline
    assert "Counting (less is better)" in header
    assert first.split() == ["a", "1.00", "0.900", "*", "3.000", "*"]
    assert second.split() == ["b\\x1b", "2.00", "0.800", "inf"]
    assert partial == "PARTIAL: a: 2 missing"


def test_a_protocol_that_no_run_has_leaves_them_without_a_rank(tmp_path: Path) -> None:
    write_scores(tmp_path / "b.json", make_score(0.8))
    write_scores(tmp_path / "a.json", make_score(0.9))
    [board] = read(tmp_path, "flare25")
    assert names(board) == ["a", "b"] and isnan(board.standings[0].rank)


def test_all_is_there_for_other_programs(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.json", make_score(None), counting("inf", low=1.5, high="inf"))
    (tmp_path / "other.json").write_text("7")
    found, others = read_runs(tmp_path)
    content = json.loads(json.dumps(boards_as_json(boards(found), others), allow_nan=False))
    assert content["passed_over"] == {"other.json": "is not a file of scores"}
    [board] = content["boards"]
    [run] = board["runs"]
    assert board["truth"]["questions"] == 9 and run["file"] == "a.json"
    assert [(one["value"], one["low"], one["high"]) for one in run["scores"]] == [
        (None, None, None),
        ("inf", 1.5, "inf"),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_does_not_depend_on_that_of_the_files(tmp_path: Path, order: int) -> None:
    for name, value in (("a", 0.1), ("b", 0.3), ("c", 0.2)):
        write_scores(tmp_path / f"{name}.json", make_score(value))
    runs, _ = read_runs(tmp_path)
    assert names(boards(runs[::order])[0]) == ["b", "c", "a"]
