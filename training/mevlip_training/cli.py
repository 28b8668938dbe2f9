"""The commands `mevlip train adapters` and `mevlip train router`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option
from mevlip.tasks import adapter_names
from mevlip_training.llamafactory import CONFIGS
from mevlip_training.router_cli import router

if TYPE_CHECKING:
    from mevlip_training.runs import AdapterRun

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
    from mevlip_training.adapters import HEADER, train_adapters
    from mevlip_training.runs import in_order, plan_run, read_yaml, with_rows

    changes = read_yaml(overlay) if overlay else {}
    chosen = adapters or with_rows(data)
    runs = in_order(plan_run(name, config_dir, data, out, changes, base) for name in chosen)
    if dry_run:
        _show_plan(runs)
        return
    click.echo(table(HEADER, train_adapters(runs, out / "adapters", quiet)))


def _show_plan(runs: Sequence[AdapterRun]) -> None:
    """Shows what would be trained, and whether it would fit into the GPU."""
    from mevlip.core.tables import table
    from mevlip_training.bases import base_folder
    from mevlip_training.memory import BESIDE, free_gpu_memory, read_shape, training_memory

    shape_of = cache(read_shape)
    needed = {}
    for run in runs:
        longest = run.lengths.longest if run.lengths else run.cutoff
        if folder := base_folder(run.settings):
            needed[run.adapter] = training_memory(shape_of(folder), run.settings, longest)
    rows = [
        (
            run.adapter,
            run.rows,
            run.steps,
            run.lengths.longest if run.lengths else "-",
            run.cutoff,
            f"{most / 1e9:.1f}" if (most := needed.get(run.adapter)) else "-",
            run.start_name,
            "yes" if run.finished else "no",
            run.source,
        )
        for run in runs
    ]
    header = ("adapter", "rows", "steps", "longest row", "cutoff_len", "GPU GB", "start", "finished", "config")
    click.echo(table(header, rows))
    click.echo(f"GPU GB: arithmetic, not measured; what torch reserves at most, beside {BESIDE / 1e9} of the driver's")
    free, most = free_gpu_memory(), max((one for one in needed.values() if one), default=0)
    if free is not None and most + BESIDE > free:
        click.echo(
            f"this GPU has {free / 1e9:.1f} GB free, which is too little: set per_device_train_batch_size to 1 and "
            "gradient_accumulation_steps to 8 in an --overlay"
        )
