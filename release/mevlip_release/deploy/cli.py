"""The commands `mevlip deploy slurm|k8s|apptainer|compose`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from mevlip.cli.options import OUTPUT_FILE, OUTPUT_FOLDER
from mevlip.core.files import write_text_atomically
from mevlip_release.deploy import rendering
from mevlip_release.deploy.rendering import Needs

_PLACE = click.Path(path_type=Path)
_input = click.option("--input", "source", type=_PLACE, required=True, help="Input folder.")
_output = click.option("--output", type=OUTPUT_FOLDER, required=True, help="Output folder.")
_shards = click.option(
    "--shards", type=click.IntRange(1, 9999), default=8, show_default=True, help="Parts of the input."
)
_gpus = click.option("--gpus", type=click.IntRange(0), default=Needs.gpus, show_default=True, help="GPUs of each part.")
_memory = click.option("--memory", default=Needs.memory, show_default=True, help="Memory of each part.")
_time = click.option("--time", default=Needs.time, show_default=True, metavar="HH:MM:SS", help="Longest time.")
_out = click.option("--out", type=OUTPUT_FILE, metavar="FILE", help="Write this file. Default: print.")
_image = click.option("--image", default="me-vlip:latest", show_default=True, help="Reference of the image.")


@click.group()
def deploy() -> None:
    """Write job scripts and manifests that run the predictor.

    Nothing is started or sent; the files say in their first lines how they are used.
    """


@deploy.command()
@click.option("--image", type=_PLACE, metavar="SIF", help="Apptainer image. Default: the installed mevlip.")
@_input
@_output
@_shards
@_gpus
@_memory
@_time
@_out
def slurm(
    image: Path | None, source: Path, output: Path, shards: int, gpus: int, memory: str, time: str, out: Path | None
) -> None:
    """Write a SLURM array script: a GPU per shard, then the merge.

    \b
    Example: mevlip deploy slurm --input INPUT --output OUTPUT --shards 8 --out predict.sbatch
    """
    _write(out, lambda: rendering.slurm(source, output, shards, Needs(gpus, memory, time), image))


@deploy.command()
@_image
@click.option("--input", "source", required=True, metavar="CLAIM", help="Volume claim that holds the input.")
@click.option("--output", required=True, metavar="CLAIM", help="Volume claim that receives the output.")
@_shards
@_gpus
@_memory
@_time
@_out
def k8s(image: str, source: str, output: str, shards: int, gpus: int, memory: str, time: str, out: Path | None) -> None:
    """Write a Kubernetes indexed job, and one for the merge.

    \b
    Example: mevlip deploy k8s --image team:latest --input questions --output answers --out job.yaml
    """
    _write(out, lambda: rendering.kubernetes(image, source, output, shards, Needs(gpus, memory, time)))


@deploy.command()
@click.option("--image", default="me-vlip:latest", show_default=True, help="Reference of the image, or its archive.")
@_input
@_output
@_gpus
@_out
def apptainer(image: str, source: Path, output: Path, gpus: int, out: Path | None) -> None:
    """Write an Apptainer definition with the line that runs it.

    \b
    Example: mevlip deploy apptainer --image team.tar.gz --input INPUT --output OUTPUT --out me-vlip.def
    """
    _write(out, lambda: rendering.apptainer(image, source, output, Needs(gpus)))


@deploy.command()
@_image
@_input
@_output
@_gpus
@_memory
@_out
def compose(image: str, source: Path, output: Path, gpus: int, memory: str, out: Path | None) -> None:
    """Write a Docker Compose file for one machine.

    \b
    Example: mevlip deploy compose --image team:latest --input INPUT --output OUTPUT --out compose.yaml
    """
    _write(out, lambda: rendering.compose(image, source, output, Needs(gpus, memory)))


def _write(out: Path | None, render: Callable[[], str]) -> None:
    try:
        text = render()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text_atomically(out, text, "Name another --out.")
