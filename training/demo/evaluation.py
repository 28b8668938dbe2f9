"""What the demo's adapters have learned: `python -m training.demo.evaluation [CHECKPOINT]` prints the table."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from submission.answers import Form, answer_class, read_answer
from submission.config import Routing, Settings
from submission.flare.questions import read_input_folder
from submission.predictor import predict
from submission.tables import table
from submission.tasks import TASKS, TaskType, parse_task_type
from training.demo.inputs import write_inputs
from validation.scoring.metrics import (
    balanced_accuracy,
    box_f1,
    exact_share,
    instance_f1,
    label_f1,
    mean_absolute_error,
)

SYSTEMS: dict[str, Routing] = {"base": "base", "MT": "generalist", "TS by router": "router", "TS declared": "declared"}
PER_DATASET = 60
SEED = 77
"""Neither the examples' seed nor the training data's."""

_METRICS: dict[TaskType, str] = {
    TaskType.CLASSIFICATION: "balanced accuracy",
    TaskType.MULTI_LABEL: "micro F1",
    TaskType.DETECTION: "F1 at IoU 0.5",
    TaskType.INSTANCE_DETECTION: "F1 at IoU 0.5",
    TaskType.COUNTING: "absolute error",
    TaskType.REGRESSION: "absolute error",
    TaskType.REPORT: "exact statements",
}

Pairs = list[tuple[Any, Any]]


def evaluate(checkpoint: Path, folder: Path, per_dataset: int = PER_DATASET) -> list[tuple[object, ...]]:
    """Scores the four systems on newly drawn images and on wordings that were never trained on.

    Args:
        checkpoint: The checkpoint folder.
        folder: Where inputs and predictions go.
        per_dataset: Questions of each of the eighteen data sets.

    Returns:
        Rows of task, questions, measure, the error of the constant median (numbers only), and each system's score.
    """
    inputs = folder / "inputs"
    write_inputs(inputs, SEED, per_dataset)
    truths = read_truths(inputs)
    scores: dict[str, dict[TaskType, Pairs]] = {}
    for name, routing in SYSTEMS.items():
        settings = Settings(
            input=inputs, output=folder / routing, checkpoint=str(checkpoint), routing=routing, batch_size=32
        )
        predictions = json.loads(predict(settings).predictions.read_bytes())
        scores[name] = pair_up(truths, predictions)
    rows: list[tuple[object, ...]] = []
    for task, pairs in scores["base"].items():
        constant = _constant_error(pairs) if task in (TaskType.COUNTING, TaskType.REGRESSION) else ""
        measured = [round(score(task, scores[name][task]), 3) for name in SYSTEMS]
        rows.append((TASKS[task].title, len(pairs), _METRICS[task], constant, *measured))
    return rows


def score(task: TaskType, pairs: Pairs) -> float:
    """The task's measure over pairs of typed truth and prediction."""
    match TASKS[task].answer_type:
        case "choice":
            return balanced_accuracy((truth.format(), said.format()) for truth, said in pairs)
        case "label_set":
            return label_f1((set(truth.labels), set(said.labels)) for truth, said in pairs)
        case "boxes":
            return box_f1((truth.boxes, said.boxes) for truth, said in pairs)
        case "instance_boxes":
            return instance_f1((dict(truth.instances), dict(said.instances)) for truth, said in pairs)
        case "count" | "measurement":
            return mean_absolute_error((truth.value, said.value) for truth, said in pairs)
        case "report":
            return exact_share((truth.format(), said.format()) for truth, said in pairs)


def read_truths(inputs: Path) -> list[dict[str, Any]]:
    """The answered records, in the order in which the predictor writes them."""
    truths = []
    for file in dict.fromkeys(question.file for question in read_input_folder(inputs).questions):
        truths += json.loads((inputs / file).with_name(f"{Path(file).stem}_withGT.json").read_bytes())
    return truths


def pair_up(truths: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> dict[TaskType, Pairs]:
    """Pairs of typed truth and prediction, by declared task; both lists are in the same order."""
    found: dict[TaskType, Pairs] = defaultdict(list)
    for truth, predicted in zip(truths, predictions, strict=True):
        task = parse_task_type(truth["TaskType"])
        if task is None or (truth["Question"], truth["ImageName"]) != (predicted["Question"], predicted["ImageName"]):
            raise ValueError("predictions and truth are out of step")
        read = answer_class(task).parse
        form = Form(truth["Question"])
        found[task].append((read(truth["Answer"], form), _read_prediction(task, predicted["Answer"], form)))
    return {task: found[task] for task in TASKS if task in found}


def _read_prediction(task: TaskType, answer: str, form: Form) -> Any:
    """The answer as the declared task's type; one of another type, by a wrong route, becomes the task's fallback."""
    text = read_answer(task, answer, form).text
    return answer_class(task).parse(text, form)


def _constant_error(pairs: Pairs) -> float:
    values = [truth.value for truth, _ in pairs]
    return round(mean_absolute_error((value, median(values)) for value in values), 3)


def render(rows: list[tuple[object, ...]]) -> str:
    """The table for people."""
    return table(("task", "questions", "measure", "constant median", *SYSTEMS), rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("checkpoints/demo")
        print(render(evaluate(chosen, Path(temporary))))  # noqa: T201 - a command's result
