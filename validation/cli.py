"""Commands of the validation package."""

from __future__ import annotations

from pathlib import Path

import click


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
    Example: mevlip check build/demo/predictions.json --input examples/inputs
    """
    from submission.errors import OutputError
    from submission.tables import table
    from validation.check import check_file

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
