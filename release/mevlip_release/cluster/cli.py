"""The command `mevlip cluster predict`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from mevlip.cli.options import OUTPUT_FOLDER, quiet_option, settings_options, take_settings
from mevlip.settings import AnswerSettings, PredictorSettings, RunSettings

_OPTIONS = (*AnswerSettings.model_fields, "max_failures")


@click.group()
def cluster() -> None:
    """Answer one input folder on many GPUs, with Ray.

    Requires the extra: pip install 'me-vlip[cluster]'.
    """


@cluster.command()
@click.argument("source", metavar="INPUT")
@click.argument("output_folder", metavar="OUTPUT", type=OUTPUT_FOLDER)
@click.option("--shards", type=click.IntRange(1, 999_999), default=16, show_default=True, help="Parts of the input.")
@click.option("--actors", type=click.IntRange(1), help="Predictors at work. Default: as many as fit.")
@click.option(
    "--gpus", type=click.FloatRange(0), help="GPUs of each, 0.5 for half of one. Default: 1 where there are any."
)
@click.option(
    "--retries", type=click.IntRange(0), default=3, show_default=True, help="Restarts of a predictor that died."
)
@click.option("--address", help="Ray cluster, such as auto or ray://HOST:10001. Default: this machine only.")
@settings_options(PredictorSettings)
@settings_options(RunSettings, _OPTIONS)
@quiet_option
def predict(
    source: str,
    output_folder: Path,
    shards: int,
    actors: int | None,
    gpus: float | None,
    retries: int,
    address: str | None,
    checkpoint: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Answer every question of INPUT with several predictors.

    OUTPUT/predictions.json is what `mevlip predict` writes. INPUT is a folder, or an address that fsspec can open, such
    as s3://BUCKET/inputs, which is copied into OUTPUT first. All nodes see both folders and the checkpoint at the same
    paths. After an interruption the same command resumes where it stopped.

    \b
    Example: mevlip cluster predict INPUT OUTPUT --shards 16 --gpus 1
    """
    from mevlip.checkpoints.checkpoint import find_checkpoint
    from mevlip.core.errors import TooManyFailures
    from mevlip.predictor import Predictor
    from mevlip_release.cluster.pipeline import Pool, predict_on_cluster

    options["checkpoint"] = str(find_checkpoint(checkpoint).resolve())
    find = partial(Predictor.find, take_settings(PredictorSettings, options))
    settings = RunSettings(input=Path(), output=output_folder, **options)
    pool = Pool(address, actors, gpus, retries)
    merged = predict_on_cluster(find, settings, source, shards, pool, quiet)
    if not quiet:
        click.echo(f"wrote {merged.answers} answers of {merged.shards} shards to {merged.predictions}", err=True)
    allowed = settings.allowed_failures(merged.answers)
    if merged.failures > allowed:
        raise TooManyFailures(
            f"The model failed on {merged.failures} of {merged.answers} questions, which have fallback answers; "
            f"--max-failures {settings.max_failures} allows {allowed}",
            f"{merged.predictions} is complete and valid; fix the cause and run again, or raise --max-failures.",
        )
