"""The commands `mevlip predictions ...` for predictions files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mevlip.cli.groups import Group
from mevlip.cli.options import INPUT_FILE, INPUT_FOLDER, OUTPUT_FILE, OUTPUT_FOLDER, quiet_option
from mevlip.core.errors import OutputError, TimeLimitReached
from mevlip.core.files import LARGEST_LIST, read_bounded
from mevlip.core.tables import table
from mevlip.core.text import visible
from mevlip.tasks import TASKS, parse_task_type


@click.group(cls=Group, path="predictions.")
def predictions() -> None:
    """Show, check, merge and zip a predictions.json."""


@predictions.command()
@click.argument("file", metavar="PREDICTIONS", type=INPUT_FILE)
@click.option("--per-task", type=click.IntRange(1), default=3, show_default=True, help="Rows shown of each task.")
def show(file: Path, per_task: int) -> None:
    """Print a table of answers per task from a PREDICTIONS file.

    \b
    Example: mevlip predictions show build/demo/predictions.json
    """
    try:
        content = json.loads(read_bounded(file, LARGEST_LIST))
    except OSError as error:
        raise OutputError(f"{file} cannot be read ({error.strerror})", "Name a predictions.json.") from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise OutputError(f"{file} is not a list of records", "Name a predictions.json.")
    shown: dict[str, list[tuple[str, ...]]] = {}
    for row in content:
        task = parse_task_type(row.get("TaskType"))
        title = TASKS[task].title if task else "(no known TaskType)"
        names = row.get("ImageName")
        image = f"{len(names)} images" if isinstance(names, list) else str(names).rsplit("/", 1)[-1]
        cells = (title, str(row.get("Modality", "")), visible(image, 24), visible(str(row.get("Question", "")), 40))
        shown.setdefault(title, []).append((*cells, visible(str(row.get("Answer")), 44)))
    order = [task.title for task in TASKS.values()]
    titles = sorted(shown, key=lambda title: order.index(title) if title in order else len(order))
    rows = [row for title in titles for row in shown[title][:per_task]]
    click.echo(table(("task", "modality", "image", "question", "answer"), rows))


@predictions.command()
@click.argument("shards", metavar="SHARD...", type=OUTPUT_FOLDER, nargs=-1, required=True)
@click.option("--input", "input_folder", required=True, type=INPUT_FOLDER, help="Input folder that the shards answer.")
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="Output folder.")
@click.option(
    "--explanations", type=OUTPUT_FILE, metavar="FILE", help="Join the shards' explanations.jsonl files to this one."
)
@quiet_option
def merge(shards: tuple[Path, ...], input_folder: Path, out: Path, explanations: Path | None, quiet: bool) -> None:
    """Join the output folders of all shards of a run.

    OUT/predictions.json is what one run over the whole INPUT writes. Each SHARD is the output folder of `mevlip predict
    --shard I/N`.

    \b
    Example: mevlip predictions merge OUTPUT/shards/1 OUTPUT/shards/2 --input INPUT --out OUTPUT
    """
    from mevlip.flare.questions import read_input_folder
    from mevlip.runs.explanations import merge_explanations
    from mevlip.runs.merging import merge_shards
    from mevlip.runs.output import check_destination, output_folder

    folder = read_input_folder(input_folder, out)
    if explanations is not None:
        check_destination(explanations, "--explanations", folder.root, out)
    with output_folder(out):
        merged = merge_shards(shards, folder, out)
        if explanations is not None:
            merge_explanations([shard / "explanations.jsonl" for shard in shards], folder.questions, explanations)
    if not quiet:
        failed = f" ({merged.failures} of them fallbacks where the model failed)" if merged.failures else ""
        click.echo(
            f"wrote {merged.answers} answers{failed} of {merged.shards} shards to {merged.predictions}", err=True
        )
    if merged.late:
        raise TimeLimitReached(
            f"The shards had no time to ask {merged.late} of {merged.answers} questions, which have fallback answers",
            f"{merged.predictions} is complete and valid; run these shards again and merge again for better answers.",
        )
