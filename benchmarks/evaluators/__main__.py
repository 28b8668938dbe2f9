"""Compares this package's scores with the oracles': `python -m benchmarks.evaluators [--comparisons N] [--seed N]`.

A comparison is one small file under one protocol: the scores of all its tasks must be the same. What the evaluator
itself does not score (it stops with an error, or chance decides) is counted by its reason and not compared. Files that
are scored differently are shrunk, and the smallest shown. Status 1 with differences.

This package departs from the evaluators on purpose in three things, and is compared with what they give without them:
a question whose true answer is empty is reported and not scored, where FLARE 2025's evaluator scores it as a class,
as false alarms or as an infinite error; and where FLARE 2026's has one number for detection and instance detection,
which is this package's of detection, there is one of the instances alone beside it; and where a predicted NaN makes
FLARE 2026's mean error NaN, here it is infinite, since NaN looks as if nothing were scored.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isclose, isnan, nan
from pathlib import Path
from typing import Any

import click

from benchmarks.evaluators import Undefined, flare25, flare26
from benchmarks.evaluators.generate import MIXED, SPELLINGS, Case, Record, draw
from mevlip.core.tables import table
from mevlip.tasks import TaskType, parse_task_type
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Truth, match
from mevlip_validation.metrics import metrics_of
from mevlip_validation.protocols import scorings

COMPARISONS = 32_000
SEED = 26
ORACLES: dict[str, Callable[..., dict[str, float]]] = {"flare25": flare25.score, "flare26": flare26.score}
SHOWN = 10
_NEAR = 1e-9  # sums in another order
_Scores = dict[str, float]


@dataclass(frozen=True)
class Difference:
    """A file that both score differently.

    Attributes:
        protocol: The protocol.
        case: The file.
        oracle: The evaluator's score by task; NaN where it gives none.
        package: This package's, or the error that it raised.
    """

    protocol: str
    case: Case
    oracle: _Scores
    package: _Scores | str

    def __str__(self) -> str:
        truth = "\n".join(f"    {folder}: {_shown(record)}" for folder, record in self.case.truth)
        predictions = "\n".join(f"    {_shown(record)}" for record in self.case.predictions)
        head = f"{self.protocol}: {self.oracle} by the oracle, {self.package} by this package"
        return f"{head}\n  truth\n{truth}\n  predictions\n{predictions or '    none'}"


@dataclass
class Tally:
    """What a number of comparisons led to.

    Attributes:
        equal: Equal scores by protocol and task.
        undefined: Files that the evaluator does not score, by protocol, task and reason.
        different: Files that were scored differently, not shrunk.
    """

    equal: Counter[tuple[str, str]] = field(default_factory=Counter)
    undefined: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    different: list[Difference] = field(default_factory=list)


def compare(comparisons: int, seed: int) -> Tally:
    """Compares scores of random files; equal seeds draw equal files."""
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # from literals such as "[1](2)"
        for number in range(comparisons // len(ORACLES)):
            case = draw(seed, number)
            for protocol in ORACLES:
                try:
                    found = difference(protocol, case)
                except Undefined as reason:
                    tally.undefined[protocol, case.task, str(reason)] += 1
                    continue
                if found:
                    tally.different.append(found)
                else:
                    tally.equal[protocol, case.task] += 1
    return tally


def difference(protocol: str, case: Case) -> Difference | None:
    """Compares one file under one protocol.

    Returns:
        How the scores differ; None where they are the same.

    Raises:
        Undefined: The evaluator gives no score.
    """
    truth = [record for _, record in case.truth]
    tasks = {task for record in truth if (task := parse_task_type(record["TaskType"]))}
    if protocol == "flare25":
        truth = _answered(truth)
    elif TaskType.DETECTION in tasks:
        tasks -= {TaskType.INSTANCE_DETECTION}
    known = {parse_task_type(name): value for name, value in ORACLES[protocol](truth, case.predictions).items()}
    oracle = {str(task): known.get(task, nan) for task in sorted(tasks)}
    try:
        package = {str(task): _package_score(protocol, task, case) for task in sorted(tasks)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the evaluator gives a score
        return Difference(protocol, case, oracle, f"{type(error).__name__}: {error}")
    if protocol == "flare26":  # a mean with a predicted NaN
        oracle = {task: inf if isnan(value) and package[task] == inf else value for task, value in oracle.items()}
    is_same = all(_same(oracle[task], package[task]) for task in oracle)
    return None if is_same else Difference(protocol, case, oracle, package)


def _answered(truth: Sequence[Record]) -> list[Record]:
    """The truth without those questions whose last true answer is empty."""
    last = {_question(record): record["Answer"] for record in truth}
    return [record for record in truth if _has_text(last[_question(record)])]


def _has_text(answer: Any) -> bool:
    return answer is not None and not (isinstance(answer, str) and not answer.strip())


def _question(record: Record) -> str:
    return json.dumps([record["ImageName"], record["Question"]])


def _package_score(protocol: str, task: TaskType, case: Case) -> float:
    truths = [Truth(f"{folder}[{place}]", Path(folder), record) for place, (folder, record) in enumerate(case.truth)]
    (scoring,) = (one for one in scorings(task, metrics_of(task).main) if one.protocol == protocol)
    rows = [row for row in match(truths, case.predictions).rows if row.task in scoring.tasks]
    return score_of(scoring.statistic(rows), len(rows)) if rows else nan


def _same(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=_NEAR, abs_tol=_NEAR) or (isnan(one) and isnan(other))


def shrink(found: Difference) -> Difference:
    """Makes a file that is scored differently as small as it gets while it still is."""
    while smaller := next(filter(None, (_still(found.protocol, case) for case in _smaller(found.case))), None):
        found = smaller
    return found


def _still(protocol: str, case: Case) -> Difference | None:
    try:
        return difference(protocol, case)
    except Undefined:
        return None


def _smaller(case: Case) -> Iterator[Case]:
    """Smaller files: a record less, or a shorter answer."""
    for place in range(len(case.truth)):
        if len(case.truth) > 1:
            yield replace(case, truth=case.truth[:place] + case.truth[place + 1 :])
    for place in range(len(case.predictions)):
        yield replace(case, predictions=case.predictions[:place] + case.predictions[place + 1 :])
    for place, (folder, record) in enumerate(case.truth):
        for answer in _shorter(record["Answer"]):
            changed = (folder, {**record, "Answer": answer})
            yield replace(case, truth=(*case.truth[:place], changed, *case.truth[place + 1 :]))
    for place, record in enumerate(case.predictions):
        for answer in _shorter(record["Answer"]):
            changed_record = {**record, "Answer": answer}
            yield replace(case, predictions=(*case.predictions[:place], changed_record, *case.predictions[place + 1 :]))


def _shorter(answer: Any) -> Iterator[Any]:
    """Shorter answers of the same kind."""
    if isinstance(answer, str):
        for size in (len(answer) // 2, 8, 4, 2, 1):
            if 0 < size < len(answer):
                for start in range(0, len(answer), size):
                    yield answer[:start] + answer[start + size :]
    elif isinstance(answer, list):
        for place, item in enumerate(answer):
            yield answer[:place] + answer[place + 1 :]
            for shorter in _shorter(item):
                yield [*answer[:place], shorter, *answer[place + 1 :]]
    elif isinstance(answer, dict):
        for name in answer:
            yield {key: value for key, value in answer.items() if key != name}
            for shorter in _shorter(answer[name]):
                yield {**answer, name: shorter}


def _shown(record: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in record.items() if name not in ("Modality", "Split")})


def render(tally: Tally, seconds: float) -> str:
    """The table of comparisons, and the smallest files that are scored differently."""
    different = Counter((found.protocol, found.case.task) for found in tally.different)
    undefined: Counter[tuple[str, str]] = Counter()
    for (protocol, task, _), times in tally.undefined.items():
        undefined[protocol, task] += times
    keys = [(protocol, task) for protocol in ORACLES for task in (*SPELLINGS, MIXED)]
    counts = {key: (tally.equal[key], undefined[key], different[key]) for key in keys}
    rows = [(*key, sum(counts[key]), *counts[key]) for key in keys]
    reasons: Counter[tuple[str, str]] = Counter()
    for (protocol, _, reason), times in tally.undefined.items():
        reasons[protocol, reason] += times
    total = sum(row[2] for row in rows)
    return "\n".join(
        [
            table(("protocol", "task", "comparisons", "equal", "undefined", "different"), rows),
            "",
            table(
                ("protocol", "not scored by the evaluator", "files"), [(*key, reasons[key]) for key in sorted(reasons)]
            ),
            "",
            f"{total} comparisons in {seconds:.0f} s, {len(tally.different)} different",
        ]
    )


def smallest(tally: Tally, shown: int = SHOWN) -> list[Difference]:
    """The smallest differences, shrunk, a few of each protocol and task."""
    shrunk: dict[str, Difference] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for found in sorted(tally.different, key=lambda found: found.case.size):
        seen[found.protocol, found.case.task] += 1
        if seen[found.protocol, found.case.task] <= 2:
            small = shrink(found)
            shrunk.setdefault(_kind(small), small)
    return sorted(shrunk.values(), key=lambda found: found.case.size)[:shown]


def _kind(found: Difference) -> str:
    """What makes two differences alike: the protocol, the tasks, the answers."""
    truth = [(parse_task_type(record["TaskType"]), record["Answer"]) for _, record in found.case.truth]
    return json.dumps([found.protocol, truth, [record["Answer"] for record in found.case.predictions]])


@click.command()
@click.option("--comparisons", type=click.IntRange(2), default=COMPARISONS, show_default=True, help="Files compared.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Random seed.")
def main(comparisons: int, seed: int) -> None:
    """Compares this package's scores of random small files with those of independent oracles."""
    start = time.perf_counter()
    tally = compare(comparisons, seed)
    click.echo(render(tally, time.perf_counter() - start))
    for found in smallest(tally):
        click.echo(f"\n{found}")
    sys.exit(bool(tally.different))


if __name__ == "__main__":
    main()
