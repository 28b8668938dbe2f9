"""`mevlip compare`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FILE, json_option, seed_option
from mevlip.core import logs
from mevlip_validation.cli.options import matched_rows, resamples_option, truth_option
from mevlip_validation.defaults import SEED


@click.command()
@click.argument("predictions", type=INPUT_FILE, nargs=-1, required=True)
@truth_option
@resamples_option
@seed_option(SEED)
@json_option
def compare(predictions: tuple[Path, ...], truth: Path, resamples: int, seed: int, json_file: Path | None) -> None:
    """Compare PREDICTIONS files with the first of them.

    A paired bootstrap over images says whether a difference is more than chance.

    \b
    Example: mevlip compare generalist/predictions.json routed/predictions.json --truth examples/inputs
    """
    logs.only_warnings()
    from mevlip.core.tables import table
    from mevlip_validation import output
    from mevlip_validation.score import compare as compare_two

    if len(predictions) < 2:
        raise click.UsageError("Name at least two predictions files.")
    first, *others = (matched_rows(path, truth, True, "question", None) for path in predictions)
    header = ("task", "measure", "protocol", "first", "this", "gain", "verdict")
    found = {
        str(path): compare_two(first.rows, other.rows, resamples, seed)
        for path, other in zip(predictions[1:], others, strict=True)
    }
    for path, comparisons in found.items():
        click.echo(f"{path} against {predictions[0]}:")
        click.echo(table(header, output.compare_rows(comparisons)))
    if json_file:
        output.write_json(output.comparisons_as_json(found), json_file)
