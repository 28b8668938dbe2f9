"""`mevlip runs`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FILE, json_option
from mevlip.core import logs
from mevlip_validation.defaults import REFERENCE


@click.command()
@click.argument("folder", metavar="DIR", type=INPUT_FOLDER)
@click.option(
    "--protocol", metavar="NAME", default=REFERENCE, show_default=True, help="The protocol that orders the runs."
)
@json_option
@click.option("--html", type=OUTPUT_FILE, metavar="FILE", help="Write one HTML page with every column and interval.")
def runs(folder: Path, protocol: str, json_file: Path | None, html: Path | None) -> None:
    """List scored runs, best first.

    Every file below DIR that score --json wrote is a run. Only scores of the same truth and the same signature stand in
    one column; others get a table of their own, with the reason.

    \b
    Example: mevlip runs build/scores --html build/runs.html
    """
    logs.only_warnings()
    from mevlip_validation import leaderboard, output
    from mevlip_validation.score_files import read_runs

    found, others = read_runs(folder)
    known = dict.fromkeys(column.protocol for run in found for column in run.results)
    if protocol not in known:
        raise click.UsageError(f"No run has scores under {protocol!r}; there are {', '.join(known) or 'none'}.")
    boards = leaderboard.boards(found, protocol)
    click.echo("\n\n".join(map(leaderboard.render, boards)))
    for one in others:
        click.echo(f"passed over: {one.name} {one.reason}", err=True)
    if json_file:
        output.write_json(leaderboard.boards_as_json(boards, others), json_file)
    if html:
        from mevlip_validation.report.runs import write_runs

        size = write_runs(html, str(folder), boards, others)
        click.echo(f"page: {html} ({size / 1e6:.1f} MB)")
