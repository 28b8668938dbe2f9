"""Scoring and reporting at the size of a whole validation split: `python -m benchmarks.scoring [QUESTIONS]`.

Questions and images are the demo's synthetic ones; one answer in five is that of the question before, in a second
system, which the report shows beside, one in three. Prints seconds by step, peak memory, the report's size and that of
a page of 20 runs. The bootstrap's named baseline is the same resamples scored one at a time by
scikit-learn.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sklearn.metrics import balanced_accuracy_score

from mevlip.core.tables import table
from mevlip.tasks import TaskType
from mevlip_training.demo.inputs import write_inputs
from mevlip_validation.analysis import evaluate_questions
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.defaults import RESAMPLES
from mevlip_validation.disagreements import disagreements
from mevlip_validation.leaderboard import boards
from mevlip_validation.matching import Row, Truth, match, read_truth
from mevlip_validation.metrics import metrics_of
from mevlip_validation.mismatches import Record
from mevlip_validation.output import as_json, write_json
from mevlip_validation.protocols import scorings
from mevlip_validation.provenance import Provenance
from mevlip_validation.report import write_report
from mevlip_validation.report.runs import write_runs
from mevlip_validation.score import score
from mevlip_validation.score_files import read_runs

QUESTIONS = 10_000
DATA_SETS = 18
RUNS = 20
_BY_ONE = 20  # resamples of the baseline, which is slow


class Steps:
    """Seconds by step."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        start = time.perf_counter()
        yield
        self.rows.append((name, f"{time.perf_counter() - start:.2f} s"))


def measure(folder: Path, questions: int) -> list[tuple[str, str]]:
    """Draws questions, scores altered answers, writes the report.

    Args:
        folder: Where everything goes.
        questions: How many.

    Returns:
        Rows of step and figure.
    """
    write_inputs(folder / "truth", 5, -(-questions // DATA_SETS))
    truths = read_truth(folder / "truth")
    rng = random.Random(7)
    (folder / "predictions.json").write_text(json.dumps(_predictions(truths, 0.2, rng)))
    second = match(truths, _predictions(truths, 0.33, rng))
    step = Steps()
    with step("read and match"):
        matched = match(read_truth(folder / "truth"), json.loads((folder / "predictions.json").read_bytes()))
    with step(f"score, {RESAMPLES} resamples"):
        scores = score(matched.rows, {CONSTANT: constant_rows(matched.rows, matched.rows)})
    with step("evaluate each question"):
        results = evaluate_questions(matched.rows)
    with step("find why protocols disagree"):
        disagreements(matched.rows)
    with step("write the report"):
        size = write_report(folder / "report.html", "benchmark", folder / "truth", matched, results, scores, {})
    with step("write it with a second system"):
        others = {"second": evaluate_questions(second.rows)}
        larger = write_report(folder / "two.html", "benchmark", folder / "truth", matched, results, scores, {}, others)
    about = Provenance.of(folder / "predictions.json", folder / "truth", matched.rows).as_json()
    for number in range(RUNS):
        write_json({**about, **as_json(matched, scores)}, folder / f"scores/{number}.json")
    with step(f"read {RUNS} runs and write their page"):
        page = write_runs(folder / "runs.html", "benchmark", boards(read_runs(folder / "scores")[0]), [])
    with step("bootstrap of balanced accuracy, ours"):
        choices = [row for row in matched.rows if row.task is TaskType.CLASSIFICATION]
        measure = metrics_of(TaskType.CLASSIFICATION).main
        [pooled] = [one for one in scorings(TaskType.CLASSIFICATION, measure) if one.protocol == "flare26"]
        bootstrap = Bootstrap([row.cluster for row in choices])
        bootstrap.scores(pooled.statistic(choices))
    with step(f"the same by scikit-learn, {_BY_ONE} of {RESAMPLES} resamples"):
        _by_scikit_learn(choices, bootstrap)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        ("questions", str(len(matched.rows))),
        ("images", str(len({(row.folder, name) for row in matched.rows for name in row.images}))),
        *step.rows,
        ("peak memory", f"{peak:.0f} MiB"),
        ("report", f"{size / 1e6:.1f} MB"),
        ("report with a second system", f"{larger / 1e6:.1f} MB"),
        (f"page of {RUNS} runs", f"{page / 1e6:.2f} MB"),
    ]


def _predictions(truths: Sequence[Truth], share: float, rng: random.Random) -> list[Record]:
    """The true answers, a share of them exchanged for that of the question before."""
    answers = [truth.record["Answer"] for truth in truths]
    said = [answers[index - 1] if rng.random() < share else answer for index, answer in enumerate(answers)]
    return [{**truth.record, "Answer": answer} for truth, answer in zip(truths, said, strict=True)]


def _by_scikit_learn(rows: Sequence[Row], bootstrap: Bootstrap) -> None:
    targets, answers = [row.target for row in rows], [row.prediction for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for weights in next(bootstrap.weights())[:_BY_ONE]:
            balanced_accuracy_score(targets, answers, sample_weight=weights)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else QUESTIONS
    with tempfile.TemporaryDirectory() as temporary:
        print(table(("step", "figure"), measure(Path(temporary), wanted)))
