"""`mevlip robust`: perturbed pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FILE, OUTPUT_FOLDER, quiet_option, seed_option
from mevlip_validation.cli.robust_attack import attack
from mevlip_validation.cli.robust_masks import masks
from mevlip_validation.defaults import SEED

if TYPE_CHECKING:
    from mevlip_validation.perturbations.registry import Mode


@click.group()
def robust() -> None:
    """Show what perturbations do to pictures."""


robust.add_command(attack)
robust.add_command(masks)


@robust.command()
@click.argument("picture", type=INPUT_FILE)
@click.option(
    "--perturbation",
    "wanted",
    default="all",
    show_default=True,
    metavar="NAME",
    help="A perturbation, all of a modality (such as Xray, CT or MRI), or all.",
)
@click.option("--out", required=True, type=OUTPUT_FOLDER, help="Folder for strips and table.")
@click.option(
    "--mode",
    type=click.Choice(["ssim", "table"]),
    help="Levels of equal SSIM, or the published parameters. Default: the perturbation's own.",
)
@seed_option(SEED)
@quiet_option
def show(picture: Path, wanted: str, out: Path, mode: Mode | None, seed: int, quiet: bool) -> None:
    """Show a picture clean and at five levels of severity.

    The picture is first fitted as for a model (at most 768 x 768 pixels). Written are a strip NAME.png for each
    perturbation, levels.csv, and calibrations.json, from which a second run takes the parameters it knows.

    \b
    Example: mevlip robust show scan.png --perturbation Xray --out build/robust
    """
    from mevlip.checkpoints.routes import ImageSettings
    from mevlip.core.errors import InputError
    from mevlip.core.extras import needing
    from mevlip.core.files import atomic_file
    from mevlip.core.progress import Progress
    from mevlip.core.tables import table, write_csv
    from mevlip.flare.images import ImageError, fit_pixel_budget, load_image

    with needing("robust", "Perturbations need"):
        from mevlip_validation.perturbations import showing
        from mevlip_validation.perturbations.perturbed import check_size
        from mevlip_validation.perturbations.registry import choose
        from mevlip_validation.perturbations.severity import Calibrations

        try:
            chosen = choose(wanted)
        except LookupError as error:
            raise click.BadParameter(str(error.args[0]), param_hint="--perturbation") from error
    try:
        settings = ImageSettings()
        clean = fit_pixel_budget(load_image(picture), settings.min_pixels, settings.max_pixels)
    except ImageError as error:
        raise InputError(f"{picture}: {error}", "Name a picture that can be read.") from error
    check_size(clean, str(picture))
    calibrations = Calibrations(out / "calibrations.json")
    found = []
    with Progress("perturbing", len(chosen), "perturbations", quiet) as progress:
        for one in chosen:
            series = showing.make_series(clean, one, seed, mode, calibrations)
            with atomic_file(out / f"{one.name}.png") as draft:
                showing.draw_strip(series).save(draft, "PNG")
            found.append(series)
            progress.advance()
    calibrations.save()
    write_csv(out / "levels.csv", showing.CSV_HEADER, showing.csv_rows(found))
    click.echo(table(showing.HEADER, map(showing.table_row, found)))
    click.echo(showing.LEGEND)
