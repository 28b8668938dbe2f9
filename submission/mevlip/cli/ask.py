"""The command `mevlip ask`: one question about one or more images."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import INPUT_FILE, OUTPUT_FILE, quiet_option, settings_options, take_settings
from mevlip.core.errors import InputError
from mevlip.core.tables import table
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip.tasks import TASKS

if TYPE_CHECKING:
    from mevlip.inference.engine import Answer

logger = logging.getLogger(__name__)


@click.command()
@click.argument("images", metavar="IMAGE...", type=INPUT_FILE, nargs=-1, required=True)
@click.argument("question")
@click.option(
    "--task", type=click.Choice([task.value for task in TASKS]), help="What is asked for. Default: the router decides."
)
@settings_options(PredictorSettings)
@settings_options(AnswerSettings, ["thinking"])
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--draw", type=OUTPUT_FILE, metavar="FILE", help="Write the first image with the answer's boxes on it.")
@quiet_option
def ask(
    images: tuple[Path, ...],
    question: str,
    task: str | None,
    thinking: str | None,
    as_json: bool,
    draw: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Answer one QUESTION about one or more images.

    \b
    Example: mevlip ask scan.png "Which finding? A: Cyst, B: Tumor" --task classification
    """
    from mevlip.predictor import Predictor

    predictor = Predictor.find(take_settings(PredictorSettings, options), quiet=quiet)
    answer = predictor.ask(question, images, task=task, thinking=thinking)
    for problem in answer.problems:
        logger.warning("%s", problem)
    if answer.failed:
        raise InputError(f"The question was not answered: {answer.reason}", "Use other images or another question.")
    click.echo(json.dumps(_plain(answer, question, images), indent=1) if as_json else _table(answer))
    if draw:
        from mevlip.drawing import draw_boxes

        count = draw_boxes(answer, question, images[0], draw)
        logger.info("wrote %s with %d boxes", draw, count)


def _plain(answer: Answer, question: str, images: Sequence[Path]) -> dict[str, Any]:
    """What `predict --explanations` records of an answer, but for the place in a file that it lacks."""
    from mevlip.flare.questions import Question
    from mevlip.runs.explanations import explain

    plain = asdict(explain(Question.given_as(question, images), answer))
    del plain["question"]
    return plain


def _table(answer: Answer) -> str:
    from mevlip.runs.explanations import shown_thinking

    thinking = shown_thinking(answer)
    rows = [
        ("answer", answer.text),
        ("task", TASKS[answer.task].title),
        *((("routed as", TASKS[answer.corrected_from].title),) if answer.corrected_from else ()),
        ("adapter", answer.adapter),
        ("router confidence", f"{answer.confidence:.3f}"),
        ("probability", "" if answer.probability is None else f"{answer.probability:.3f}"),
        *((f"probability of {option}", f"{value:.3f}") for option, value in answer.options.items()),
        ("read", answer.stage + (f": {answer.reason}" if answer.reason else "")),
        *((("thinking", thinking),) if thinking else ()),
    ]
    return table(("", "value"), rows)
