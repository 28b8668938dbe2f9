"""`mevlip predictions check`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FILE


@click.command()
@click.argument("predictions", type=INPUT_FILE)
@click.option(
    "--input",
    "input_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder whose questions the file should answer.",
)
def check(predictions: Path, input_folder: Path) -> None:
    """Check PREDICTIONS against the schema and the inputs.

    Every issue is listed with its row and field. Of a valid file, a table lists which answers a public evaluator does
    not read as they are meant: they are no error, and `mevlip predictions format` rewrites those that can be read in
    another form.

    \b
    Example: mevlip predictions check build/demo/predictions.json --input examples/inputs
    """
    from mevlip.core.errors import OutputError
    from mevlip.core.tables import table
    from mevlip_validation.check import check_file, file_conventions
    from mevlip_validation.output import convention_rows

    if faults := check_file(predictions, input_folder):
        click.echo(
            table(
                ("file", "index", "field", "value", "rule"),
                [(predictions.name, "-" if f.index is None else f.index, f.field, f.value, f.message) for f in faults],
            )
        )
        raise OutputError(f"{predictions} has {len(faults)} faults", "Fix the rows listed above, or predict again.")
    click.echo(f"{predictions}: valid and complete")
    found, untold = file_conventions(predictions, input_folder)
    header, rows = convention_rows(found)
    if rows:
        click.echo(table(header, rows))
    if untold:
        click.echo(f"{untold} questions do not say their TaskType; how evaluators read those was not checked.")
