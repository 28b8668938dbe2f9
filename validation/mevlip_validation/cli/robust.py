"""`mevlip robust`: perturbed pictures, and what systems lose on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import (
    INPUT_FILE,
    INPUT_FOLDER,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    quiet_option,
    seed_option,
    settings_options,
    take_settings,
)
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_validation.cli.options import mode_option, perturbation_option, resamples_option, truth_option
from mevlip_validation.cli.robust_attack import attack
from mevlip_validation.cli.robust_masks import masks
from mevlip_validation.defaults import LEVELS, SEED, SYSTEMS

if TYPE_CHECKING:
    from mevlip_validation.perturbations.registry import Mode, Perturbation


@click.group()
def robust() -> None:
    """Perturb pictures, and measure what systems lose on them."""


robust.add_command(attack)
robust.add_command(masks)


@robust.command()
@click.argument("picture", type=INPUT_FILE)
@perturbation_option
@click.option("--out", required=True, type=OUTPUT_FOLDER, help="Folder for strips and table.")
@mode_option
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
    from mevlip.flare.images import load_image
    from mevlip.flare.pixels import ImageError, fit_pixel_budget

    with needing("robust", "Perturbations need"):
        from mevlip_validation.perturbations import showing
        from mevlip_validation.perturbations.perturbed import check_size
        from mevlip_validation.perturbations.severity import Calibrations

        chosen = _chosen(wanted, "--perturbation")
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


@robust.command()
@click.argument("input_folder", metavar="INPUT", type=INPUT_FOLDER)
@truth_option
@settings_options(PredictorSettings)
@settings_options(AnswerSettings, ["batch_tokens"])
@click.option(
    "--systems",
    default=",".join(SYSTEMS),
    show_default=True,
    metavar="NAMES",
    help="No adapter, the generalist, the task's own adapter.",
)
@click.option(
    "--levels", default=",".join(map(str, LEVELS)), show_default=True, metavar="NUMBERS", help="Levels of severity."
)
@click.option(
    "--perturbations",
    "wanted",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="Perturbations or modalities, separated by commas, or all.",
)
@mode_option
@click.option("--sample", type=click.IntRange(1), default=500, show_default=True, help="Most questions that are asked.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    metavar="MINUTES",
    help="Begin nothing that would end later; what says the most is asked first. The same command goes on.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that search for levels of equal SSIM. Default: one per CPU."
)
@resamples_option
@seed_option(SEED)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    default="build/robustness",
    show_default=True,
    help="Folder for results, finished cells and parameters.",
)
@click.option("--report", type=OUTPUT_FILE, metavar="FILE", help="Write one HTML page with charts and pictures.")
@quiet_option
def run(
    input_folder: Path,
    truth: Path,
    systems: str,
    levels: str,
    wanted: str,
    mode: Mode | None,
    sample: int,
    budget: float | None,
    workers: int | None,
    batch_tokens: int | None,
    resamples: int,
    seed: int,
    out: Path,
    report: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure what systems lose on perturbed pictures.

    The base, the generalist and the routed adapters answer the same questions of INPUT about clean pictures and about
    perturbed ones, with one loaded model. Each kind of picture gets its own perturbations, changed on the fly.

    \b
    --out receives results.json, cells.csv, and what an interrupted run goes on from.

    \b
    Example: mevlip robust run examples/inputs --truth examples/inputs --report build/robustness/report.html
    """
    import os

    from mevlip.core.extras import needing
    from mevlip.core.tables import write_csv
    from mevlip.predictor import Predictor
    from mevlip_validation.ablation import read_folders
    from mevlip_validation.output import write_json

    with needing("robust", "Perturbations need"):
        from mevlip_validation.perturbations.severity import Calibrations
        from mevlip_validation.report.robustness import check_packages, write_report
        from mevlip_validation.robustness import output
        from mevlip_validation.robustness.asking import Plan, ask_perturbed
        from mevlip_validation.robustness.drops import measure_drops
        from mevlip_validation.robustness.sampling import draw_sample
    if report:
        check_packages()
    plan = Plan(
        perturbations=tuple(
            dict.fromkeys(one for name in wanted.split(",") for one in _chosen(name, "--perturbations"))
        ),
        levels=tuple(map(int, _listed(levels, [*map(str, LEVELS)], "--levels"))),
        systems=_listed(systems, [*SYSTEMS], "--systems"),
        seed=seed,
        mode=mode,
        settings=AnswerSettings(batch_tokens=batch_tokens),
    )
    predictor = Predictor.find(take_settings(PredictorSettings, options), quiet=quiet)
    questions = draw_sample(*read_folders(input_folder, truth, out), sample, seed)
    done = ask_perturbed(
        predictor, questions, plan, out, budget=budget and budget * 60,
        workers=workers or len(os.sched_getaffinity(0)), quiet=quiet,
    )  # fmt: skip
    what = output.Benchmark(predictor.checkpoint.manifest, done, measure_drops(questions, done.cells, resamples, seed))
    write_json(output.as_json(what), out / "results.json")
    write_csv(out / "cells.csv", output.CSV_HEADER, output.csv_rows(what.drops))
    click.echo(output.render(what))
    if report:
        size = write_report(report, str(input_folder), what, Calibrations(out / "calibrations.json"))
        click.echo(f"page: {report} ({size / 1e6:.1f} MB)")


def _chosen(wanted: str, option: str) -> tuple[Perturbation, ...]:
    from mevlip_validation.perturbations.registry import choose

    try:
        return choose(wanted.strip())
    except LookupError as error:
        raise click.BadParameter(str(error.args[0]), param_hint=option) from error


def _listed(text: str, known: list[str], option: str) -> tuple[str, ...]:
    """The names in a list with commas, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}.", param_hint=option)
    return names
