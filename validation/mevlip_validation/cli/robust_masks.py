"""`mevlip robust masks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FOLDER, quiet_option, seed_option
from mevlip_validation.cli.options import mode_option, perturbation_option, resamples_option
from mevlip_validation.defaults import CLEAN, LEVELS, SEED

if TYPE_CHECKING:
    from mevlip_validation.perturbations.registry import Mode


@click.command()
@click.argument("images", type=INPUT_FOLDER)
@click.argument("true_masks", metavar="MASKS", type=INPUT_FOLDER)
@click.option("--predicted", type=INPUT_FOLDER, help="Any program's masks of the pictures in --out, in the same tree.")
@perturbation_option
@click.option("--out", required=True, type=OUTPUT_FOLDER, help="Folder for the perturbed pictures and masks.")
@mode_option
@resamples_option
@seed_option(SEED)
@quiet_option
def masks(
    images: Path,
    true_masks: Path,
    predicted: Path | None,
    wanted: str,
    out: Path,
    mode: Mode | None,
    resamples: int,
    seed: int,
    quiet: bool,
) -> None:
    """Perturb pictures and masks, and score a program's masks.

    Each picture in IMAGES has a mask of the same name in MASKS: whole numbers, 0 for the background. Written are
    OUT/<perturbation>/<level>/{images,masks}/<name>.png, and the clean ones as OUT/clean/0. Masks move as their
    pictures do.

    With --predicted, FOLDER/<perturbation>/<level>/masks/<name>.png are compared with the true ones: IoU, Dice and
    their drop from the clean pictures. Run the command first without it, and your program on the pictures.

    \b
    --out then also receives drops.csv, overlaps.csv and masks.json.

    \b
    Example: mevlip robust masks IMAGES MASKS --perturbation Endoscopy --out build/masks --predicted PREDICTED
    """
    from mevlip.core.extras import needing

    with needing("robust", "Perturbations need"):
        from mevlip_validation import segmentation
        from mevlip_validation.perturbations import masks as folders
        from mevlip_validation.perturbations.registry import choose
        from mevlip_validation.perturbations.severity import Calibrations

        try:
            chosen = choose(wanted)
        except LookupError as error:
            raise click.BadParameter(str(error.args[0]), param_hint="--perturbation") from error
    pairs, problems = folders.pair_up(images, true_masks)
    calibrations = Calibrations(out / "calibrations.json")
    written, unusable = folders.perturb_folder(pairs, out, chosen, seed, mode, calibrations, quiet)
    calibrations.save()
    problems += unusable
    if predicted is not None:
        conditions = [(CLEAN, 0), *((one.name, level) for one in chosen for level in LEVELS)]
        overlaps, missing = segmentation.measure(out, predicted, conditions, written)
        problems += missing
        found = segmentation.drops(overlaps, resamples, seed)
        segmentation.write_all(found, overlaps, problems, out)
        click.echo(segmentation.render(found))
    else:
        click.echo(
            f"{len(written)} pictures with their masks, {len(chosen)} perturbations at {len(LEVELS)} levels: {out}"
        )
    for line in problems:
        click.echo(line, err=True)
