"""Constrained against free decoding on the demo: `python -m benchmarks.decoding [CHECKPOINT] [PER_DATASET]`.

Both sides answer the same newly drawn questions, task by task, in one process. Printed for each task: how the answers
came about, the score with a bootstrap interval, forwards and generated tokens per question. On a CPU and a model of two
million parameters, so counts carry over to a GPU, seconds do not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from submission.answers import STAGES
from submission.config import Settings
from submission.predictor import RunReport, predict
from submission.tables import table
from submission.tasks import TASKS, TaskType
from training.demo.evaluation import PER_DATASET, SEED, Pairs, pair_up, read_truths, score
from training.demo.inputs import write_inputs
from training.demo.wordings import DATASETS

RESAMPLES = 500


def compare(checkpoint: str, folder: Path, per_dataset: int) -> list[tuple[object, ...]]:
    """Answers the demo's validation questions both ways.

    Args:
        checkpoint: Checkpoint folder.
        folder: Where inputs and predictions go.
        per_dataset: Questions of each data set.

    Returns:
        Rows of task, way of decoding, questions, share of each stage, score, its interval, forwards and generated
        tokens per question.
    """
    rows: list[tuple[object, ...]] = []
    for task in TASKS:
        inputs = folder / task.value
        write_inputs(inputs, SEED, per_dataset, [one for one in DATASETS if one.task is task])
        for constrain in (False, True):
            settings = Settings(
                input=inputs, output=folder / f"{task}-{constrain}", checkpoint=checkpoint, routing="declared",
                batch_size=32, constrain=constrain,
            )  # fmt: skip
            report = predict(settings, quiet=True)
            pairs = pair_up(read_truths(inputs), json.loads(report.predictions.read_bytes()))[task]
            rows.append((TASKS[task].title, "constrained" if constrain else "free", *_measure(task, report, pairs)))
    return rows


def _measure(task: TaskType, report: RunReport, pairs: Pairs) -> tuple[object, ...]:
    count = len(report.results)
    stages = Counter(result.stage for result in report.results)
    low, high = interval(task, pairs)
    return (
        count,
        *(round(stages[stage] / count, 4) for stage in STAGES),
        round(score(task, pairs), 3),
        f"{low:.3f}-{high:.3f}",
        round(report.counters.forwards / report.counters.batches, 2),
        round(report.counters.forwards / count, 3),
        round(report.counters.generated_tokens / count, 2),
    )


def interval(task: TaskType, pairs: Pairs) -> tuple[float, float]:
    """The middle 95 % of the score over questions drawn again with replacement; seeded."""
    rng = np.random.default_rng(SEED)
    scores = [
        score(task, [pairs[index] for index in rng.integers(0, len(pairs), len(pairs))]) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def render(rows: list[tuple[object, ...]]) -> str:
    """The table for people."""
    costs = ("forwards per batch", "per question", "tokens per question")
    return table(("task", "decoding", "questions", *STAGES, "score", "95 %", *costs), rows)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "checkpoints/demo"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else PER_DATASET
    with tempfile.TemporaryDirectory() as temporary:
        print(render(compare(chosen, Path(temporary), number)))
