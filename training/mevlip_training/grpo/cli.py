"""The command `mevlip train grpo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option
from mevlip.tasks import adapter_names

if TYPE_CHECKING:
    from mevlip_training.grpo.plan import GrpoRun

_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("data", type=INPUT_FOLDER)
@click.option(
    "--task",
    "adapters",
    multiple=True,
    required=True,
    type=click.Choice(adapter_names()),
    help="The adapter to train; can be given again.",
)
@click.option(
    "--from",
    "starts",
    type=_FOLDER,
    default=Path("runs/adapters"),
    show_default=True,
    help="Folder of packed adapters, with the one that each starts from.",
)
@click.option("--config", type=_FILE, help="A YAML file of settings. Default: Fleming-VL's.")
@click.option("--overlay", type=_FILE, help="A YAML file that replaces settings.")
@click.option("--base", help="Folder of the base model. Default: the one in the YAML.")
@click.option("--out", type=_FOLDER, default=Path("runs/grpo"), show_default=True, help="Where the runs go.")
@click.option("--dry-run", is_flag=True, help="Check everything, and show what would be trained and what it needs.")
@quiet_option
def grpo(
    data: Path,
    adapters: tuple[str, ...],
    starts: Path,
    config: Path | None,
    overlay: Path | None,
    base: str | None,
    out: Path,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Train adapters further by rewards, with TRL's GRPO.

    DATA is a folder that `mevlip data prepare` wrote; its rows' questions are asked several times each.

    Answers to one question are scored by what the challenge counts, without a model as judge, and compared with each
    other: better ones become likelier. A run starts from an adapter that `mevlip train adapters` has packed, and ends
    early where it would learn nothing. One that was stopped goes on from its last saved step when the same command is
    given again. OUT/NAME holds grpo-log.jsonl, OUT/adapters/NAME the packed adapter.

    Questions need exactly one image, in one tile.

    \b
    Example: mevlip train grpo data/flare --task detection
    """
    from mevlip.core.tables import table
    from mevlip_training.grpo.plan import plan_grpo
    from mevlip_training.grpo.settings import CONFIG
    from mevlip_training.grpo.starting import HEADER, refuse_unfit, train_grpo
    from mevlip_training.runs import read_yaml

    changes = read_yaml(overlay) if overlay else {}
    names = dict.fromkeys(adapters)
    runs = [plan_grpo(name, config or CONFIG, data, starts, out, changes, base) for name in names]
    if dry_run:
        _show_plan(runs)
        return
    refuse_unfit(runs)
    click.echo(table(HEADER, train_grpo(runs, out / "adapters", quiet)))


def _show_plan(runs: Sequence[GrpoRun]) -> None:
    """Shows what would be trained, and what it takes by arithmetic."""
    from mevlip.core.tables import table
    from mevlip_training.grpo.needs import HEADER, NOTE, need_row

    click.echo(table(HEADER, map(need_row, runs)))
    click.echo(NOTE)
