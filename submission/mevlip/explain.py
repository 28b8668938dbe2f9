"""How each answer came about, one JSON object per question: `mevlip predict --explain FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mevlip.answers import Form
from mevlip.engine import Result
from mevlip.errors import EnvironmentProblem
from mevlip.flare.questions import Question


def write_explanations(path: Path, pairs: Iterable[tuple[Question, Result]]) -> None:
    """Writes a JSON Lines file, in output order.

    Args:
        path: The file; its folder is made where it is absent.
        pairs: Each question and its result.

    Raises:
        EnvironmentProblem: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for question, result in pairs:
                file.write(json.dumps(_explain(question, result)) + "\n")
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} cannot be written ({error.strerror})",
            "Name another file for --explain; the predictions are there.",
        ) from error


def _explain(question: Question, result: Result) -> dict[str, Any]:
    form = Form(question.text)
    return {
        "question": question.where,
        "images": question.image_names,
        "task": result.task.value,
        "adapter": result.adapter,
        "router_confidence": round(result.confidence, 6),
        "answer": result.answer,
        "stage": result.stage,
        "reason": result.reason,
        "problems": result.problems,
        "probability": None if result.probability is None else round(result.probability, 6),
        "option_probabilities": {text: round(value, 6) for text, value in result.options.items()},
        "asked_for": {
            "options": form.options or form.labels,
            "several": form.several,
            "separator": form.separator,
            "shape": form.shape,
            "unit": form.unit,
        },
    }
