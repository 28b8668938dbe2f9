"""`mevlip compare`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FILE, OUTPUT_FILE, json_option, seed_option
from mevlip.core import logs
from mevlip_validation.cli.options import matched_rows, resamples_option, truth_option
from mevlip_validation.defaults import SEED


@click.command()
@click.argument("predictions", type=INPUT_FILE, nargs=-1, required=True)
@truth_option
@resamples_option
@seed_option(SEED)
@click.option("--power", is_flag=True, help="Also print how many questions a difference takes to be seen.")
@json_option
@click.option("--csv", "csv_file", type=OUTPUT_FILE, metavar="FILE", help="Write one line for each flipped question.")
def compare(
    predictions: tuple[Path, ...],
    truth: Path,
    resamples: int,
    seed: int,
    power: bool,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Compare two or more PREDICTIONS files with each other.

    Shows ranks and how stable they are, which differences are more than chance, and flipped questions.

    A system is named by its file, or by the file's folder.

    \b
    Example: mevlip compare generalist/predictions.json routed/predictions.json --truth examples/inputs
    """
    logs.only_warnings()
    from mevlip_validation import comparison_output, output
    from mevlip_validation.comparison import compare_systems, system_names

    if len(predictions) < 2:
        raise click.UsageError("Name at least two predictions files.")
    files = dict(zip(system_names(predictions), predictions, strict=True))
    systems = {name: matched_rows(path, truth, True, "question", None).rows for name, path in files.items()}
    found = compare_systems(systems, resamples=resamples, seed=seed)
    click.echo(comparison_output.render(found, power))
    if json_file:
        output.write_json(comparison_output.as_json(found, files), json_file)
    if csv_file:
        comparison_output.write_flipped(found, csv_file)
