"""The commands `mevlip train adapters` and `mevlip train router`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option
from mevlip.tasks import adapter_names
from mevlip_training.llamafactory import CONFIGS
from mevlip_training.router_cli import router

_FOLDER = click.Path(path_type=Path)


@click.group()
def train() -> None:
    """Train the adapters and the task classifier."""


train.add_command(router)


@train.command()
@click.argument("data", type=INPUT_FOLDER)
@click.option(
    "--task",
    "adapters",
    multiple=True,
    type=click.Choice(adapter_names()),
    help="Train only this adapter; can be given again. Default: all that DATA has rows for.",
)
@click.option(
    "--config-dir",
    type=_FOLDER,
    default=CONFIGS,
    show_default=True,
    help="Folder with a YAML file of each adapter's name.",
)
@click.option("--overlay", type=click.Path(path_type=Path, dir_okay=False), help="A YAML file that replaces settings.")
@click.option("--base", help="Folder or hub name of the base model. Default: the one in the YAML.")
@click.option("--out", type=_FOLDER, default=Path("runs"), show_default=True, help="Where the runs go.")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be trained.")
@quiet_option
def adapters(
    data: Path,
    adapters: tuple[str, ...],
    config_dir: Path,
    overlay: Path | None,
    base: str | None,
    out: Path,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Train adapters on prepared DATA with LLaMA-Factory.

    DATA is a folder that `mevlip data prepare` wrote.

    Each run is `llamafactory-cli train` on that adapter's YAML. A run that was stopped goes on from its last saved step
    when the same command is given again; a finished one is not repeated. OUT/NAME holds log and loss plot,
    OUT/adapters/NAME the packed adapter: weights, adapter_config.json, route.json and model card.

    Where DATA was prepared by a recipe, its training settings replace the YAML's; --overlay replaces both.

    \b
    Example: mevlip train adapters data/flare --task counting
    """
    from mevlip.core.tables import table
    from mevlip_training.adapters import train_adapters
    from mevlip_training.runs import in_order, plan_run, read_yaml, with_rows

    changes = read_yaml(overlay) if overlay else {}
    chosen = adapters or with_rows(data)
    runs = in_order(plan_run(name, config_dir, data, out, changes, base) for name in chosen)
    if dry_run:
        rows = [
            (
                run.adapter,
                run.rows,
                run.steps,
                run.lengths.longest if run.lengths else "-",
                run.settings.get("cutoff_len", "-"),
                run.start_name,
                "yes" if run.finished else "no",
                run.source,
            )
            for run in runs
        ]
        click.echo(
            table(("adapter", "rows", "steps", "longest row", "cutoff_len", "start", "finished", "config"), rows)
        )
        return
    click.echo(table(("adapter", "rows", "steps", "loss", "time"), train_adapters(runs, out / "adapters", quiet)))
