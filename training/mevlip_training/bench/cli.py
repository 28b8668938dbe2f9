"""The command `mevlip bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import json_option, quiet_option, settings_options
from mevlip.settings import PredictorSettings

if TYPE_CHECKING:
    from mevlip.settings import Device
    from mevlip_training.bench.questions import Mix
    from mevlip_training.bench.systems import Shape

_SHAPES = ("demo", "proportioned", "host-bound", "internvl3-8b")
_MIXES = ("hidden", "one", "six", "examples")
_SIDES = ("engine", "reference", "published", "published-tiles", "batched")


@click.command()
@click.option(
    "--shape",
    type=click.Choice(_SHAPES),
    default="demo",
    show_default=True,
    help="The demo checkpoint, or random weights: of InternVL3-8B's proportions, of its number of layers, or of its "
    "true shape in four bits.",
)
@click.option(
    "--mix",
    type=click.Choice(_MIXES),
    default="hidden",
    show_default=True,
    help="Questions as often on a picture as in the hidden validation set, one on each, six, or the example questions.",
)
@click.option(
    "--questions", type=click.IntRange(1), metavar="N", help="How many, in the mix's proportions. Default: all of it."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How often each side answers.")
@click.option(
    "--side", "sides", type=click.Choice(_SIDES), multiple=True, help="Measure only this side; can be given again."
)
@settings_options(PredictorSettings, ["device"])
@json_option
@quiet_option
def bench(
    shape: Shape,
    mix: Mix,
    questions: int | None,
    rounds: int,
    sides: tuple[str, ...],
    device: Device,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Measure how many questions per second are answered.

    The predictor and other loops over the same weights answer the same generated questions in turn, in one thread: the
    predictor one question at a time (reference), the published container's loop on the same pixels and with tiles, and
    plain batches of eight (batched). Random checkpoints are written to build/bench once.

    \b
    Example: mevlip bench --shape proportioned --questions 100 --side engine --side batched
    """
    import json

    from mevlip.core.files import write_text_atomically
    from mevlip_training.bench.measure import measure
    from mevlip_training.bench.tables import render

    chosen = [side for side in _SIDES if side in sides or not sides]
    measured = measure(shape, mix, questions, chosen, rounds, device, quiet=quiet)
    click.echo(render(measured))
    if json_file is not None:
        write_text_atomically(json_file, json.dumps(measured.as_json(), indent=1) + "\n")
