"""`mevlip robust attack`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FOLDER, quiet_option, seed_option, settings_options, take_settings
from mevlip.settings import PredictorSettings
from mevlip_validation.cli.options import resamples_option, truth_option
from mevlip_validation.defaults import SEED, SYSTEMS

if TYPE_CHECKING:
    from mevlip_validation.attacks.gradient import Method


def _epsilons(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = sorted({int(part) for part in value.split(",")})
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers. Write, for example, 2,4,8.") from error
    if numbers[0] < 1 or numbers[-1] > 255:
        raise click.BadParameter(f"{value!r} is not within 1 and 255. They are levels of 255.")
    return tuple(numbers)


@click.command()
@click.argument("input_folder", metavar="INPUT", type=INPUT_FOLDER)
@truth_option
@settings_options(PredictorSettings, ["checkpoint", "device", "max_memory", "verify"])
@click.option(
    "--system",
    type=click.Choice([*SYSTEMS]),
    default="routed",
    show_default=True,
    help="The task's own adapter by the router, the generalist, or no adapter.",
)
@click.option(
    "--method",
    type=click.Choice(["pgd", "fgsm", "noise"]),
    default="pgd",
    show_default=True,
    help="The attack; noise has no gradient, to compare with.",
)
@click.option(
    "--epsilons",
    default="2,4,6,8,10",
    show_default=True,
    metavar="LIST",
    callback=_epsilons,
    help="By how many levels of 255 each value of a pixel may change.",
)
@click.option(
    "--iterations", type=click.IntRange(3, 15), default=10, show_default=True, help="Steps of PGD for each epsilon."
)
@click.option("--targeted", is_flag=True, help="Aim at the option after the true one; choice questions only.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Attack N questions of each task, drawn at random.")
@click.option("--out", type=OUTPUT_FOLDER, help="Folder for tables, the figure and strips of pictures.")
@resamples_option
@seed_option(SEED)
@quiet_option
def attack(
    input_folder: Path,
    truth: Path,
    system: str,
    method: Method,
    epsilons: tuple[int, ...],
    iterations: int,
    targeted: bool,
    sample: int | None,
    out: Path | None,
    resamples: int,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Attack the pictures by the model's own gradient.

    Each question's pictures are changed, within EPSILON of every pixel, so that the true answer's loss rises, and the
    model answers about what came of it. All seven tasks are offered. The pictures are those that the vision tower
    gets, in 8 bits; the base must be InternVL without tiling.

    \b
    --out receives attack.csv, questions.csv, attack.json, attack.svg and for each task a strip of a picture
    clean, attacked and the change.

    \b
    Example: mevlip robust attack examples/inputs --truth examples/inputs --sample 3 --out build/attack
    """
    from functools import partial

    from mevlip.core.extras import needing
    from mevlip.predictor import Predictor, load_model
    from mevlip_validation.ablation import read_folders
    from mevlip_validation.attacks import output
    from mevlip_validation.attacks.running import Plan, attack_folder

    if out is not None:
        with needing("report", "The figure needs"):
            import matplotlib  # noqa: F401 - before minutes of attacking
    folder, truths = read_folders(input_folder, truth, out or Path("build/attack"))
    settings = take_settings(PredictorSettings, options)
    predictor = Predictor.find(settings, quiet=quiet, load_model=partial(load_model, exact=True))
    plan = Plan(system, method, epsilons, iterations, targeted, sample, seed)
    attacks = attack_folder(predictor, folder, truths, plan, quiet)
    points = output.summarize(attacks, resamples, seed)
    click.echo(output.render(attacks, points))
    if out is not None:
        output.write_all(attacks, points, predictor.identity, out)
