"""Compared systems as tables for people, and as JSON and CSV for other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from mevlip.core.tables import table, write_csv
from mevlip.core.text import visible
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.comparison import Comparison, QuestionComparison, Ranking, SystemsComparison
from mevlip_validation.defaults import REFERENCE
from mevlip_validation.output import NONE, number, plain, plain_estimate, show, signature_of
from mevlip_validation.significance import ALPHA, POWER, Power

_MOST_CELLS = 20
"""Further data sets are left to the JSON file."""
_LONGEST_NAME = 20

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
Files = Mapping[str, Path]


def render(found: SystemsComparison, power: bool = False) -> str:
    """All tables for the terminal, with the rules by which they are read.

    Args:
        found: What was compared.
        power: Whether to add how many questions a difference takes.
    """
    parts = [table(*gain_table(found)), _summary(found)] if len(found.systems) == 2 else _many(found)
    parts.append(
        f"win, lose, beats: p below {ALPHA} after Holm's correction over all tasks and pairs of a protocol,\n"
        "and the interval (of one comparison alone) excludes 0; else tie."
    )
    if power:
        parts += [
            table(*power_table(found)),
            f"found: the smallest gain that the present questions show with {POWER:.0%} power, at {ALPHA:.0%}, without "
            "correction;\nneeded: questions to show the present gain, at as many per image.",
        ]
    return "\n\n".join(parts)


def gain_table(found: SystemsComparison) -> Table:
    """Two systems: a row for each task and protocol with both scores, the gain and the verdict."""
    rows: list[tuple[str, ...]] = [
        (TASKS[one.task].title, one.measure.name, one.scoring.protocol, number(one.first), number(one.second),
         show(one.gain, signed=True), _p(one.corrected), one.verdict)
        for one in found.pairs
    ]  # fmt: skip
    return ("task", "measure", "protocol", *_short(found.systems), "gain", "p", "verdict"), rows


def ranking_table(found: SystemsComparison) -> Table:
    """A row for each task and protocol: each system's score, its rank, and the share of resamples that confirm it."""
    rows = [
        (TASKS[one.task].title, one.scoring.protocol if one.scoring else "", str(one.questions), *_cells(one))
        for one in found.rankings
    ]
    return ("task", "protocol", "questions", *_short(found.systems)), rows


def cell_table(found: SystemsComparison) -> Table:
    """The same for each task and data set, by the task's own measure."""
    rows = [
        (TASKS[one.task].title, visible(one.dataset or "", _LONGEST_NAME), str(one.questions), *_cells(one))
        for one in found.cells[:_MOST_CELLS]
    ]
    return ("task", "data set", "questions", *_short(found.systems)), rows


def tally_table(found: SystemsComparison) -> Table:
    """Wins, ties and losses of each system against each, over tasks and data sets."""
    rows = []
    for system, short in zip(found.systems, _short(found.systems), strict=True):
        cells = [NONE if other == system else _tally(found, system, other) for other in found.systems]
        rows.append((short, *cells))
    return ("wins/ties/losses of", *_short(found.systems)), rows


def flip_table(found: SystemsComparison) -> Table:
    """How many questions each system has right and another wrong."""
    rows = []
    for system, short in zip(found.systems, _short(found.systems), strict=True):
        cells = [NONE if other == system else str(found.flips(system, other)) for other in found.systems]
        rows.append((short, *cells))
    return ("right, unlike", *_short(found.systems)), rows


def winner_table(found: SystemsComparison) -> Table:
    """A row for each task: which systems each one beats under macro, by more than chance, as letters."""
    letters = dict(zip(found.systems, ascii_lowercase, strict=False))
    beaten: dict[TaskType, dict[str, list[str]]] = {}
    for one in found.pairs:
        if one.scoring.protocol == REFERENCE:
            mine = beaten.setdefault(one.task, {name: [] for name in found.systems})
            if one.verdict in ("win", "lose"):
                winner, loser = one.systems[::-1] if one.verdict == "win" else one.systems
                mine[winner].append(letters.get(loser, loser))
    rows = [
        (TASKS[task].title, *(" ".join(sorted(mine[name])) or NONE for name in found.systems))
        for task, mine in beaten.items()
    ]
    heads = (
        f"{letters.get(name, '')} {short}".strip()
        for name, short in zip(found.systems, _short(found.systems), strict=True)
    )
    return (f"beats under {REFERENCE}", *heads), rows


def power_table(found: SystemsComparison) -> Table:
    """What the questions can show: two systems, or the first two of each task, under macro."""
    rows: list[tuple[str, ...]] = []
    for ranking in found.rankings:
        if ranking.scoring is None or ranking.scoring.protocol != REFERENCE:
            continue
        best = sorted(found.systems, key=lambda name: ranking.ranks[name] or math.inf)[:2]
        for one in found.pairs:
            if one.task is ranking.task and one.scoring == ranking.scoring and set(one.systems) == set(best):
                name, other = _short(one.systems)
                gain = show(one.gain, signed=True)
                rows.append((TASKS[one.task].title, f"{other} over {name}", gain, *_power_cells(one.power)))
    return ("task", "pair", "gain", "found", "questions", "needed"), rows


def as_json(found: SystemsComparison, files: Files) -> dict[str, Any]:
    """Everything, for other programs; NaN is null, and infinity the text `inf`."""
    return {
        "systems": {name: str(path) for name, path in files.items()},
        "rankings": [_ranking_as_json(one) for one in found.rankings],
        "datasets": [_ranking_as_json(one) for one in found.cells],
        "pairs": comparisons_as_json(found.pairs),
        "tallies": [
            {"system": one, "other": other, **vars(found.tally(one, other)), "only_it_right": found.flips(one, other)}
            for one in found.systems
            for other in found.systems
            if one != other
        ],
        "flipped": [_question_as_json(one) for one in found.flipped],
    }


def comparisons_as_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One object for each comparison of two systems."""
    return [
        {
            "task": one.task.value,
            **signature_of(one.measure, one.scoring),
            "systems": list(one.systems),
            "scores": [plain(one.first), plain(one.second)],
            "gain": plain_estimate(one.gain),
            "p": plain(one.p_value),
            "p_corrected": plain(one.corrected),
            "verdict": one.verdict,
            "power": {name: plain(value) for name, value in vars(one.power).items()} if one.power else None,
        }
        for one in comparisons
    ]


def write_flipped(found: SystemsComparison, path: Path) -> None:
    """Writes one line of CSV for each question that one system has right and another wrong.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    each = [f"{name}: {what}" for name in found.systems for what in ("prediction", "correctness", "points")]
    write_csv(path, ("place", "dataset", "task", "image", "target", *each), map(_csv_row, found.flipped))


def _many(found: SystemsComparison) -> list[str]:
    rankings = (
        "Scores with rank and the share of resamples that give this rank\n" + table(*ranking_table(found)),
        "The same for each data set by itself\n" + table(*cell_table(found)),
    )
    left = len(found.cells) - _MOST_CELLS
    more = [f"{left} more data sets are in the --json file."] if left > 0 else []
    return [*rankings, *more, table(*winner_table(found)), table(*tally_table(found)), table(*flip_table(found))]


def _summary(found: SystemsComparison) -> str:
    first, second = found.systems
    tally = found.tally(second, first)
    return (
        f"{second} against {first} by task and data set: {tally.wins} wins, {tally.ties} ties, {tally.losses} losses.\n"
        f"Flipped questions: {found.flips(second, first)} right only under {second}, {found.flips(first, second)} only "
        f"under {first}; --csv lists them."
    )


def _cells(one: Ranking) -> list[str]:
    return [
        f"{number(one.scores[name])} #{rank} {_share(one.shares[name][rank - 1])}".rstrip() if rank else NONE
        for name, rank in one.ranks.items()
    ]


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0%}"


def _tally(found: SystemsComparison, system: str, other: str) -> str:
    tally = found.tally(system, other)
    return f"{tally.wins}/{tally.ties}/{tally.losses}"


def _power_cells(power: Power | None) -> tuple[str, str, str]:
    if power is None:
        return NONE, NONE, NONE
    needed = f"{power.needed:,.0f}" if math.isfinite(power.needed) else NONE
    return number(power.smallest), str(power.questions), needed


def _p(value: float) -> str:
    return NONE if math.isnan(value) else "<.001" if value < 0.001 else f"{value:.3f}"


def _short(names: Sequence[str]) -> list[str]:
    return [visible(name, _LONGEST_NAME) for name in names]


def _ranking_as_json(one: Ranking) -> dict[str, Any]:
    what = signature_of(one.measure, one.scoring) if one.scoring else {"measure": one.measure.name}
    return {
        "task": one.task.value,
        **({} if one.dataset is None else {"dataset": one.dataset}),
        **what,
        "questions": one.questions,
        "images": one.images,
        "first_stays_first": plain(one.first_stays),
        "systems": {
            name: {
                "score": plain(one.scores[name]),
                "rank": one.ranks[name] or None,
                "share_of_each_rank": [plain(share) for share in one.shares[name]],
            }
            for name in one.ranks
        },
    }


def _question_as_json(one: QuestionComparison) -> dict[str, Any]:
    row = one.row
    return {
        "place": row.place,
        "dataset": row.dataset,
        "task": row.task.value,
        "images": list(row.images),
        "target": row.target,
        "systems": {
            name: {"prediction": result.row.prediction, "correctness": result.correctness.value}
            for name, result in one.results.items()
        },
    }


def _csv_row(one: QuestionComparison) -> tuple[object, ...]:
    row = one.row
    each = [
        cell
        for result in one.results.values()
        for cell in (result.row.prediction or "", result.correctness.value, round(result.points, 6))
    ]
    return (row.place, row.dataset, row.task.value, "; ".join(row.images), row.target, *each)
