"""`mevlip predictions format`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FILE, INPUT_FOLDER, OUTPUT_FILE, settings_options
from mevlip.core import logs
from mevlip.settings import PredictorSettings

if TYPE_CHECKING:
    from mevlip.flare.questions import Question
    from mevlip.tasks import TaskType
    from mevlip_validation.conventions import Formatted

_MOST_SHOWN = 20  # answers that could not be read


@click.command("format")
@click.argument("predictions", type=INPUT_FILE)
@click.option("--input", "input_folder", required=True, type=INPUT_FOLDER, help="The folder that the file answers.")
@click.option("--out", required=True, type=OUTPUT_FILE, metavar="FILE", help="The rewritten predictions file.")
@settings_options(PredictorSettings, ["checkpoint"])
def format_command(predictions: Path, input_folder: Path, out: Path, checkpoint: str | None) -> None:
    """Rewrite any PREDICTIONS so that all evaluators read them.

    Each Answer is read as the predictor reads its model's text, and written in the one form that every public
    evaluator reads; rows come in the order of the input. A table says for each evaluator how many answers it reads
    as they are meant, before and after. Answers that mean nothing, and missing ones, become the task's fallback and
    are named. Tasks are the questions' own; where one is missing, the checkpoint's router decides.

    \b
    Example: mevlip predictions format theirs.json --input examples/inputs --out build/predictions.json
    """
    logs.only_warnings()
    from mevlip.core.errors import OutputError
    from mevlip.core.tables import table
    from mevlip.flare.predictions import write_predictions
    from mevlip.flare.questions import read_input_folder
    from mevlip.flare.store import ImageStore
    from mevlip_validation.conventions import conventions, image_sizes, read_file
    from mevlip_validation.matching import read_records
    from mevlip_validation.mismatches import check_answers
    from mevlip_validation.output import convention_rows, reading_rows

    if out.resolve() == predictions.resolve():
        raise click.UsageError("--out names PREDICTIONS itself, which would be lost. Name another file.")
    records = read_records(predictions)
    check_answers(records, str(predictions))
    folder = read_input_folder(input_folder, out.parent)
    with ImageStore(folder.root) as store:
        formatted = read_file(records, folder, lambda questions: _tasks(questions, checkpoint), image_sizes(store))
    if formatted.missing == len(formatted.readings):
        raise OutputError(
            f"{predictions} answers no question of {input_folder}{_hints(formatted)}",
            "Name the folder that it answers, with ImageName and Question as they stand there.",
        )
    write_predictions(formatted.rows(), folder.questions, out)
    click.echo(table(*reading_rows(formatted.readings)))
    click.echo(table(*convention_rows(conventions(formatted.readings))))
    unread = [one for one in formatted.readings if one.parsed.stage == "fallback" and one.given is not None]
    for one in unread[:_MOST_SHOWN]:
        click.echo(f"{one.question.where}: fallback, since {one.parsed.reason}", err=True)
    if unread[_MOST_SHOWN:]:
        click.echo(f"... and {len(unread) - _MOST_SHOWN} more", err=True)
    if formatted.missing or formatted.surplus:
        click.echo(
            f"PARTIAL: {formatted.missing} questions have no answer and got fallbacks; {formatted.surplus} rows answer "
            f"no question and were left out{_hints(formatted)}",
            err=True,
        )
    click.echo(f"{out}: {len(formatted.readings)} rows")


def _tasks(questions: Sequence[Question], checkpoint: str | None) -> list[TaskType]:
    """The questions' own tasks; the router is loaded only where one has none."""
    from mevlip.inference.engine import Counters
    from mevlip.predictor import Predictor
    from mevlip.settings import AnswerSettings
    from mevlip_validation.conventions import told_task

    told = [task for question in questions if (task := told_task(question))]
    if len(told) == len(questions):
        return told
    predictor = Predictor.find(PredictorSettings(checkpoint=checkpoint))
    return [one.task for one in predictor.route(questions, AnswerSettings(routing="declared"), Counters())]


def _hints(formatted: Formatted) -> str:
    return "".join(f"; {hint}" for hint in formatted.hints)
