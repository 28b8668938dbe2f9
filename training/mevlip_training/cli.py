"""The command group `mevlip train`, and its command `adapters`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option
from mevlip.tasks import adapter_names
from mevlip_training.grpo.cli import grpo
from mevlip_training.grpo.rewards_cli import rewards
from mevlip_training.llamafactory import CONFIGS
from mevlip_training.router_cli import router

if TYPE_CHECKING:
    from mevlip_training.runs import AdapterRun

logger = logging.getLogger(__name__)

_FOLDER = click.Path(path_type=Path)


@click.group()
def train() -> None:
    """Train the adapters and the task classifier."""


train.add_command(grpo)
train.add_command(rewards)
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
@click.option("--dry-run", is_flag=True, help="Check everything, and show what would be trained and what it needs.")
@click.option(
    "--card",
    type=click.FloatRange(0, min_open=True),
    metavar="GIB",
    help="With --dry-run: a card's memory, such as 24, in place of this machine's free GPU memory.",
)
@quiet_option
def adapters(
    data: Path,
    adapters: tuple[str, ...],
    config_dir: Path,
    overlay: Path | None,
    base: str | None,
    out: Path,
    dry_run: bool,
    card: float | None,
    quiet: bool,
) -> None:
    """Train adapters on prepared DATA with LLaMA-Factory.

    DATA is a folder that `mevlip data prepare` wrote.

    Each run is `llamafactory-cli train` on that adapter's YAML. A run that was stopped goes on from its last saved step
    when the same command is given again; a finished one is not repeated. OUT/NAME holds log and loss plot,
    OUT/adapters/NAME the packed adapter: weights, adapter_config.json, route.json and model card.

    Where DATA has validation rows, the weights of the step with the least loss on them are packed, else those of the
    last step. The table and the model card name it.

    Before anything is trained, missing packages and a disk that is too small are refused, and a GPU with too little
    memory is warned of.

    Where DATA was prepared by a recipe, its training settings replace the YAML's; --overlay replaces both.

    \b
    Example: mevlip train adapters data/flare --task counting
    """
    from mevlip.core.tables import table
    from mevlip_training.adapters import HEADER, train_adapters
    from mevlip_training.fitting import doubts, needs_of, refuse_unfit
    from mevlip_training.memory import free_gpu_memory
    from mevlip_training.runs import in_order, plan_run, read_yaml, with_rows

    if card and not dry_run:
        raise click.UsageError("--card is for --dry-run.")
    changes = read_yaml(overlay) if overlay else {}
    chosen = adapters or with_rows(data)
    runs = in_order(plan_run(name, config_dir, data, out, changes, base) for name in chosen)
    if dry_run:
        _show_plan(runs, out, card)
        return
    needs = needs_of(runs)
    refuse_unfit(runs, needs, out)
    for line in doubts(runs, needs, free_gpu_memory()):
        logger.warning("%s", line)
    click.echo(table(HEADER, train_adapters(runs, out / "adapters", quiet)))


def _show_plan(runs: Sequence[AdapterRun], out: Path, card: float | None) -> None:
    """Shows what would be trained, and whether it would fit this machine, or a card."""
    from mevlip.core.tables import table
    from mevlip_training.fitting import disk_line, doubts, needs_of, obstacles
    from mevlip_training.memory import BESIDE, free_gpu_memory

    needs = needs_of(runs)
    rows = [
        (
            run.adapter,
            run.rows,
            run.validation or "-",
            run.steps,
            run.lengths.longest if run.lengths else "-",
            run.cutoff,
            f"{need.gpu / 1e9:.1f}" if (need := needs.get(run.adapter)) and need.gpu else "-",
            run.start_name,
            "yes" if run.finished else "no",
            run.source,
        )
        for run in runs
    ]
    header = (
        "adapter", "rows", "validation", "steps", "longest row", "cutoff_len", "GPU GB", "start", "finished", "config",
    )  # fmt: skip
    click.echo(table(header, rows))
    click.echo(f"GPU GB: arithmetic, not measured; what torch reserves at most, beside {BESIDE / 1e9} of the driver's")
    click.echo(f"disk: arithmetic; {disk_line(needs.values(), out)[0]}")
    free = card * 2**30 if card else free_gpu_memory()
    lines = [f"{cause}. {remedy}" for cause, remedy in obstacles(runs, needs, out)]
    for line in [*lines, *doubts(runs, needs, free)]:
        click.echo(f"- {line}")
