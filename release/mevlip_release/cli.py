"""The commands `mevlip image build|test|save|inspect` and `mevlip pack-predictions`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip.cli.main import checkpoint_option, start_logging

if TYPE_CHECKING:
    from docker import DockerClient

    from mevlip_release.contents import Contents
    from mevlip_release.trial import Outcome

_tag = click.option("--tag", default="me-vlip:latest", show_default=True, help="The image's name.")
_quiet = click.option("--quiet", is_flag=True, help="Show no progress.")
_input = click.option(
    "--input",
    "input_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="examples/inputs",
    show_default=True,
    help="What the container answers.",
)
_gpu = click.option("--gpu", default="", metavar="device=N|all", help="The GPU to give it. Default: none.")
_network = click.option("--network", metavar="NAME", help="Network where none is forbidden. Default: the engine's own.")


@click.group()
def image() -> None:
    """Build, prove and pack the image that is submitted; needs Docker, or an engine that speaks its API."""


@image.command()
@_tag
@checkpoint_option
@click.option("--base", help="Base image. Default: the Dockerfile's.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Such as PIP_INDEX_URL=...")
@click.option("--network", metavar="NAME", help="Network of the build's steps. Default: the engine's own.")
@click.option("--cache/--no-cache", default=True, help="Take steps that were built before as they are.")
@_quiet
def build(
    tag: str,
    checkpoint: str | None,
    base: str | None,
    build_args: Sequence[str],
    network: str | None,
    cache: bool,
    quiet: bool,
) -> None:
    """Build the image around a verified checkpoint.

    \b
    Example: mevlip image build --tag team:latest --checkpoint checkpoints/me-vlip
    """
    start_logging(quiet)
    from mevlip.checkpoints.checkpoint import find_checkpoint
    from mevlip_release.build import build_image, require_checkout
    from mevlip_release.engine import connect

    arguments = dict(argument.partition("=")[::2] for argument in build_args)
    require_checkout()
    folder = find_checkpoint(checkpoint)
    with connect() as client:
        built = build_image(client, tag, folder, base, arguments, network, quiet, cache)
    click.echo(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id}, {built.seconds:.0f} s")


@image.command()
@_tag
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Load this archive, such as the one that was uploaded, and test its image instead of --tag.",
)
@_input
@_gpu
@_network
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write all.")
def test(
    tag: str, archive: Path | None, input_folder: Path, gpu: str, network: str | None, json_file: Path | None
) -> None:
    """Run the image as an organizer does, then hardened, then where it cannot write, and check what comes out.

    \b
    Example: mevlip image test --tag team:latest
    """
    start_logging(quiet=False)
    from mevlip_release.engine import connect, load_archive
    from mevlip_release.trial import enforce
    from mevlip_validation.output import write_json

    with connect() as client:
        if archive:
            loaded = load_archive(client, archive)
            tag = next(iter(loaded.tags), str(loaded.id))
        outcomes = _tried(client, tag, input_folder, gpu, network)
    if json_file:
        write_json([one.plain() for one in outcomes], json_file)
    enforce(outcomes)


@image.command()
@click.argument("team")
@_input
@_gpu
@_network
@click.option("--out", type=click.Path(path_type=Path), default="dist", show_default=True, help="Folder to write.")
@click.option("--most-gb", type=click.FloatRange(0, min_open=True), help="Refuse a larger archive.")
@_quiet
def save(
    team: str,
    input_folder: Path,
    gpu: str,
    network: str | None,
    out: Path,
    most_gb: float | None,
    quiet: bool,
) -> None:
    """Test the image TEAM:latest and write OUT/TEAM.tar.gz with manifest, bill of materials and checksums.

    \b
    Example: mevlip image save team
    """
    start_logging(quiet)
    from mevlip_release.archive import save_image
    from mevlip_release.engine import connect
    from mevlip_release.trial import enforce

    with connect() as client:
        outcomes = _tried(client, f"{team}:latest", input_folder, gpu, network)
        enforce(outcomes)
        most = None if most_gb is None else int(most_gb * 1e9)
        saved = save_image(client, team, out, outcomes, most, quiet)
    click.echo(f"{saved.archive}: {saved.size / 1e6:.0f} MB, sha256 {saved.sha256}")
    click.echo("beside it: " + ", ".join(path.name for path in saved.papers))


@image.command()
@_tag
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every file.")
def inspect(tag: str, as_json: bool) -> None:
    """Show an image's labels, its size by layer, and what has no place in it.

    \b
    Example: mevlip image inspect --tag team:latest
    """
    start_logging(quiet=True)
    from mevlip.core.tables import table
    from mevlip_release.engine import ImageFault, connect

    with connect() as client:
        contents = _contents(client, tag)
    if as_json:
        click.echo(json.dumps(contents.plain(), indent=1))
    else:
        click.echo(table(("label", "value"), sorted(contents.labels.items())))
        click.echo("\n" + table(("MB", "files", "step"), contents.rows()))
        for found in contents.junk:
            click.echo(f"{found.kind}: {found.where}")
    if contents.junk:
        raise ImageFault(f"{tag} holds {len(contents.junk)} things that have no place in it", "They are listed above.")


@click.command("pack-predictions")
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--input",
    "input_folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder whose questions the file answers.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="predictions.zip", show_default=True)
def pack(predictions: Path, input_folder: Path, out: Path) -> None:
    """Check PREDICTIONS against the input and write a zip that holds predictions.json and nothing else.

    \b
    Example: mevlip pack-predictions build/demo/predictions.json --input examples/inputs
    """
    from mevlip_release.predictions import pack_predictions

    size = pack_predictions(predictions, input_folder, out)
    click.echo(f"{out}: {size} bytes")


def _tried(client: DockerClient, tag: str, inputs: Path, gpu: str, network: str | None) -> list[Outcome]:
    """Runs all cases and prints what came of them."""
    from mevlip.core.tables import table
    from mevlip_release.trial import CASES, try_image

    cases = [replace(case, options={"network_mode": network, **case.options}) if network else case for case in CASES]
    outcomes = list(try_image(client, tag, inputs, cases, gpu))
    rows = [
        (one.case, "ok" if one.passed else "FAILED", one.status, one.questions, one.seconds, one.peak_mib)
        for one in outcomes
    ]
    click.echo(table(("case", "result", "status", "answers", "seconds", "peak MiB"), rows))
    for one in outcomes:
        if not one.passed:
            click.echo("\n".join(one.last_lines), err=True)
    return outcomes


def _contents(client: DockerClient, tag: str) -> Contents:
    from mevlip_release.contents import read_contents
    from mevlip_release.engine import get_image

    with tempfile.NamedTemporaryFile(prefix="mevlip-", suffix=".tar") as file:
        for chunk in get_image(client, tag).save(named=tag):
            file.write(chunk)
        file.flush()
        return read_contents(Path(file.name))
