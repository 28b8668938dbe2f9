"""`mevlip train rewards`: the log of a GRPO run as a table and a chart."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import OUTPUT_FILE


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--steps", type=click.IntRange(2), default=20, show_default=True, help="Most lines of the table.")
@click.option("--figure", type=OUTPUT_FILE, help="An SVG file to draw all steps into.")
def rewards(run: Path, steps: int, figure: Path | None) -> None:
    """Show what the completions of a GRPO run earned.

    RUN is the run's folder, or its grpo-log.jsonl. Steps are evenly spaced, the first and the last among them.

    \b
    Example: mevlip train rewards runs/grpo/counting --figure build/counting.svg
    """
    from mevlip.core.extras import needing
    from mevlip_training.grpo import log

    found = log.read(run / log.LOG_NAME if run.is_dir() else run)
    click.echo(log.show(found, steps))
    if figure:
        with needing("report", "The chart needs"):
            from mevlip_training.grpo.figure import write_figure
        write_figure(found, figure)
        click.echo(f"wrote {figure}", err=True)
