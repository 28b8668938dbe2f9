"""Constrained against free decoding on the demo: `python -m benchmarks.decoding [CHECKPOINT] [PER_DATASET]`.

Both sides answer the same newly drawn questions, task by task, in one process. Printed for each task: how the answers
came about, the score with a bootstrap interval, forwards and generated tokens per question. On a CPU and a model of two
million parameters, so counts carry over to a GPU, seconds do not.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mevlip.answers import STAGES
from mevlip.core.tables import table
from mevlip.predictor import Predictor
from mevlip.runs.folder import run
from mevlip.runs.report import RunReport
from mevlip.tasks import TASKS
from mevlip_training.demo.evaluation import PER_DATASET, SEED
from mevlip_training.demo.inputs import write_inputs
from mevlip_training.demo.wordings import DATASETS
from mevlip_validation.matching import Row, match, read_records, read_truth
from mevlip_validation.output import show
from mevlip_validation.score import score


def compare(checkpoint: str, folder: Path, per_dataset: int) -> list[tuple[object, ...]]:
    """Answers the demo's validation questions both ways.

    Args:
        checkpoint: Checkpoint folder.
        folder: Where inputs and predictions go.
        per_dataset: Questions of each data set.

    Returns:
        Rows of task, way of decoding, questions, share of each stage, measure, score with its interval under the
        macro protocol, forwards and generated tokens per question.
    """
    predictor = Predictor.load(checkpoint)
    rows: list[tuple[object, ...]] = []
    for task in TASKS:
        inputs = folder / task.value
        write_inputs(inputs, SEED, per_dataset, [one for one in DATASETS if one.task is task])
        for constrain in (False, True):
            out = folder / f"{task}-{constrain}"
            report = run(predictor, inputs, out, routing="declared", constrain=constrain)
            answers = match(read_truth(inputs), read_records(report.predictions)).rows
            rows.append((TASKS[task].title, "constrained" if constrain else "free", *_measure(report, answers)))
    return rows


def _measure(report: RunReport, answers: Sequence[Row]) -> tuple[object, ...]:
    count = len(report.answers)
    stages = Counter(answer.stage for answer in report.answers)
    main = next(one for one in score(answers) if one.scoring.protocol == "macro")
    return (
        count,
        *(round(stages[stage] / count, 4) for stage in STAGES),
        main.measure.name,
        show(main.estimate),
        round(report.counters.forwards / report.counters.batches, 2),
        round(report.counters.forwards / count, 3),
        round(report.counters.generated_tokens / count, 2),
    )


def render(rows: list[tuple[object, ...]]) -> str:
    """The table for people."""
    costs = ("forwards per batch", "per question", "tokens per question")
    return table(("task", "decoding", "questions", *STAGES, "measure", "score", *costs), rows)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "checkpoints/demo"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else PER_DATASET
    with tempfile.TemporaryDirectory() as temporary:
        print(render(compare(chosen, Path(temporary), number)))
