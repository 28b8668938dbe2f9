"""Commands of the validation package."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path

import click

from mevlip.cli.options import quiet_option


@click.command()
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--input",
    "input_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder whose questions the file should answer.",
)
def check(predictions: Path, input_folder: Path) -> None:
    """Check a PREDICTIONS file against the schema and the inputs, and list every fault.

    \b
    Example: mevlip predictions check build/demo/predictions.json --input examples/inputs
    """
    from mevlip.core.errors import OutputError
    from mevlip.core.tables import table
    from mevlip_validation.check import check_file

    faults = check_file(predictions, input_folder)
    if not faults:
        click.echo(f"{predictions}: valid and complete")
        return
    click.echo(
        table(
            ("file", "index", "field", "value", "rule"),
            [(predictions.name, "-" if f.index is None else f.index, f.field, f.value, f.rule) for f in faults],
        )
    )
    raise OutputError(f"{predictions} has {len(faults)} faults", "Mend the rows listed above, or predict again.")


@click.command("check-input")
@click.argument("input_folder", metavar="INPUT", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write all.")
@quiet_option
def check_input(input_folder: Path, csv_file: Path | None, quiet: bool) -> None:
    """Look at every question and image below INPUT before a run, and warn of what may spoil an answer.

    Warnings leave nothing out: every question is answered whatever they say.

    \b
    Example: mevlip check-input examples/inputs
    """
    from mevlip.core.tables import table, write_csv
    from mevlip_validation.inputs import Notice, check_inputs, summary

    folder, notices = check_inputs(input_folder, quiet)
    for problem in folder.problems:
        click.echo(problem)
    if notices:
        click.echo(table(("warning", "times", "first", "cause"), summary(notices)))
    click.echo(f"{len(folder.questions)} questions, {len(notices)} warnings")
    if csv_file:
        write_csv(csv_file, (field.name for field in fields(Notice)), map(astuple, notices))
