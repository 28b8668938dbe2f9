"""Many runs side by side: only what was scored on the same truth in the same way, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean
from typing import Any

from mevlip.core.tables import table
from mevlip.tasks import TASKS
from mevlip_validation.defaults import REFERENCE
from mevlip_validation.output import NONE, number, plain
from mevlip_validation.score_files import Column, PassedOver, Result, Run, TruthSet


@dataclass(frozen=True)
class Difference:
    """A column that a board computes otherwise than the first board of the same truth.

    Attributes:
        here: The column.
        there: Signature of the first board.
    """

    here: Column
    there: str


@dataclass(frozen=True)
class Standing:
    """A run's place.

    Attributes:
        run: The run.
        rank: Mean of its ranks, 1 the best, over the tasks' own measures under the board's protocol; NaN without any.
    """

    run: Run
    rank: float


@dataclass(frozen=True)
class Board:
    """Runs whose scores can be compared.

    Attributes:
        truth: What all of them were scored on.
        protocol: The protocol that orders them.
        columns: Every column of any of them, tasks in the challenge's order.
        standings: The runs, best first.
        differences: Why these runs stand apart from the first board of the same truth; empty for that one.
    """

    truth: TruthSet
    protocol: str
    columns: tuple[Column, ...]
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...] = ()

    @property
    def main_columns(self) -> tuple[Column, ...]:
        """The first measure of each task under each protocol."""
        first: dict[tuple[str, str], Column] = {}
        for column in self.columns:
            first.setdefault((column.task, column.protocol), column)
        return tuple(first.values())

    @property
    def ranking_columns(self) -> tuple[Column, ...]:
        """The columns that order the runs."""
        return tuple(column for column in self.main_columns if column.protocol == self.protocol)

    def results(self, column: Column) -> list[Result | None]:
        """The results of a column, in the order of the standings; None where a run has none."""
        return [one.run.results.get(column) for one in self.standings]

    def best(self, column: Column) -> float:
        """The best score of a column; NaN where there is none."""
        values = [one.value for one in self.results(column) if one and not isnan(one.value)]
        return min(values, key=column.cost) if values else nan

    def constant(self, column: Column) -> float:
        """What the best constant scores; NaN where the runs do not agree on it, or do not say."""
        values = {one.constant for one in self.results(column) if one}
        return values.pop() if len(values) == 1 else nan


def boards(runs: Sequence[Run], protocol: str = REFERENCE) -> list[Board]:
    """Sorts runs into boards: one for each truth, and further ones for runs that were scored by other definitions.

    The newest file's definitions are those of a truth's first board.

    Args:
        runs: The runs.
        protocol: The protocol that orders them.

    Returns:
        The boards, the truth with the most runs first.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.truth.digest, []).append(run)
    found = []
    for group in sorted(groups.values(), key=len, reverse=True):
        found += _boards_of(group, protocol)
    return found


def _boards_of(runs: Sequence[Run], protocol: str) -> list[Board]:
    newest = sorted(runs, key=lambda run: run.written, reverse=True)
    reference: dict[tuple[str, str, str], str] = {}
    for column in (column for run in newest for column in run.results):
        reference.setdefault(column.place, column.signature)
    groups: dict[tuple[Difference, ...], list[Run]] = {(): []}
    for run in newest:
        others = [column for column in run.results if column.signature != reference[column.place]]
        groups.setdefault(tuple(Difference(one, reference[one.place]) for one in others), []).append(run)
    return [_board(group, protocol, differences) for differences, group in groups.items() if group]


def _board(runs: Sequence[Run], protocol: str, differences: tuple[Difference, ...]) -> Board:
    order = {str(task): place for place, task in enumerate(TASKS)}
    columns = dict.fromkeys(column for run in runs for column in run.results)
    found = tuple(sorted(columns, key=lambda column: order.get(column.task, len(order))))
    board = Board(runs[0].truth, protocol, found, tuple(Standing(run, nan) for run in runs), differences)
    ranks = [_ranks(column, board.results(column)) for column in board.ranking_columns]
    standings = [Standing(run, fmean(one[place] for one in ranks) if ranks else nan) for place, run in enumerate(runs)]
    standings.sort(key=lambda one: (one.rank if ranks else 0.0, one.run.name))
    return Board(board.truth, protocol, found, tuple(standings), differences)


def _ranks(column: Column, results: Sequence[Result | None]) -> list[float]:
    """The rank of each run; equal ones share the mean of their ranks, and those without a score are last."""
    costs = [column.cost(one.value if one else nan) for one in results]
    return [sum(other < cost for other in costs) + (costs.count(cost) + 1) / 2 for cost in costs]


def render(board: Board) -> str:
    """A board for the terminal: one line for each run, one column for each task."""
    columns = board.ranking_columns
    header = ("run", "rank", *(f"{one.title}{' (less is better)' * (one.better == 'lower')}" for one in columns))
    rows = [
        (one.run.name, rank(one), *(_cell(board, column, one.run.results.get(column)) for column in columns))
        for one in board.standings
    ]
    return "\n".join([headline(board), *difference_lines(board), table(header, rows), *mismatch_lines(board)])


def rank(standing: Standing) -> str:
    """A run's rank as it is shown."""
    return NONE if isnan(standing.rank) else f"{standing.rank:.2f}"


def headline(board: Board) -> str:
    """What the runs of a board were scored on, and what orders them."""
    truth = board.truth
    return (
        f"{truth.name}: {truth.questions} questions ({truth.digest[:19]}), {len(board.standings)} runs, "
        f"best first by the mean rank under {board.protocol}; * marks the best of a column"
    )


def difference_lines(board: Board) -> list[str]:
    """Why a board's runs stand apart; nothing for the first board of a truth."""
    if not board.differences:
        return []
    what = "Scored by other definitions than the newest runs, so the scores are other quantities; score them again:"
    return [what, *(f"  {one.here.title}: {one.here.signature} here, {one.there} there" for one in board.differences)]


def mismatch_lines(board: Board) -> list[str]:
    """A line for each run that was scored although rows were missing, repeated or surplus."""
    return [
        f"PARTIAL: {one.run.name}: " + ", ".join(f"{count} {kind}" for kind, count in one.run.mismatches.items())
        for one in board.standings
        if one.run.mismatches
    ]


def _cell(board: Board, column: Column, result: Result | None) -> str:
    value = result.value if result else nan
    return f"{number(value)}{' *' * (value == board.best(column))}"


def boards_as_json(found: Sequence[Board], others: Sequence[PassedOver]) -> dict[str, Any]:
    """The boards for other programs; NaN is null, and infinity the text `inf`."""
    return {
        "boards": [_board_as_json(board) for board in found],
        "passed_over": {one.name: one.reason for one in others},
    }


def _board_as_json(board: Board) -> dict[str, Any]:
    return {
        "truth": {
            "name": board.truth.name,
            "digest": board.truth.digest,
            "questions": board.truth.questions,
        },
        "protocol": board.protocol,
        "differences": {one.here.signature: one.there for one in board.differences},
        "runs": [
            {
                "run": one.run.name,
                "file": one.run.file,
                "rank": None if isnan(one.rank) else one.rank,
                "predictions": one.run.predictions,
                "written": one.run.written.isoformat(),
                "version": one.run.version,
                "mismatches": dict(one.run.mismatches),
                "scores": [_score_as_json(column, result) for column, result in one.run.results.items()],
            }
            for one in board.standings
        ],
    }


def _score_as_json(column: Column, result: Result) -> Mapping[str, Any]:
    numbers = {"value": result.value, "low": result.low, "high": result.high}
    what = {name: getattr(column, name) for name in ("task", "measure", "protocol", "signature", "better")}
    return what | {name: plain(value) for name, value in numbers.items()}
