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
            [(predictions.name, "-" if f.index is None else f.index, f.field, f.value, f.message) for f in faults],
        )
    )
    raise OutputError(f"{predictions} has {len(faults)} faults", "Fix the rows listed above, or predict again.")


@click.command("check-input")
@click.argument("input_folder", metavar="INPUT", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write every issue here."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
def check_input(input_folder: Path, csv_file: Path | None, quiet: bool) -> None:
    """Check every question and image below INPUT before a run, and warn of what may spoil an answer.

    Warnings leave nothing out: every question is answered whatever they say.

    \b
    Example: mevlip check-input examples/inputs
    """
    from mevlip.cli.main import start_logging
    from mevlip.core.tables import table
    from mevlip.flare.inspection import inspect_folder, summary
    from mevlip.flare.issues import write_issues

    start_logging(quiet)
    folder, issues = inspect_folder(input_folder, quiet)
    for problem in folder.problems:
        click.echo(problem)
    if issues:
        click.echo(table(("warning", "times", "first", "cause"), summary(issues)))
    click.echo(f"{len(folder.questions)} questions, {len(issues)} warnings")
    if csv_file:
        write_issues(issues, csv_file)
