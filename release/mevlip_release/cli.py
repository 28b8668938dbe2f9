"""The commands `mevlip image build|test|save|rehearse|show` and `mevlip predictions zip`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import (
    INPUT_FILE,
    INPUT_FOLDER,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    json_option,
    quiet_option,
    settings_options,
)
from mevlip.core import logs
from mevlip.core.errors import EnvironmentProblem
from mevlip.settings import PredictorSettings
from mevlip_release.build import CUDA, DEFAULT_CUDA
from mevlip_release.containers import TIME_LIMIT
from mevlip_release.profiles import PROFILES, Profile, find_profile
from mevlip_release.receiver_cli import diff, verify

if TYPE_CHECKING:
    from docker import DockerClient

    from mevlip_release.smoke_test import CaseResult

_tag = click.option("--tag", default="me-vlip:latest", show_default=True, help="Tag of the image.")
_input = click.option(
    "--input",
    "input_folder",
    type=INPUT_FOLDER,
    default="examples/inputs",
    show_default=True,
    help="Input folder for the container.",
)


@dataclass(frozen=True)
class _Asked:
    """How containers are to be run."""

    inputs: Path
    profile: Profile
    time_limit: float
    gpu: str
    network: str | None


def _line_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of commands that run containers; the command gets them as `asked`."""

    @_input
    @click.option(
        "--profile",
        default=next(iter(PROFILES)),
        show_default=True,
        metavar="NAME|FILE",
        help=f"Challenge whose line and limits are used: {', '.join(PROFILES)}, or a JSON file.",
    )
    @click.option("--memory", metavar="SIZE", help="Memory limit such as 28g. Default: the profile's.")
    @click.option(
        "--time-limit",
        type=click.FloatRange(0, min_open=True),
        default=TIME_LIMIT,
        show_default=True,
        metavar="SECONDS",
        help="How long each container may take.",
    )
    @click.option("--gpu", default="", metavar="device=N|all", help="GPU to pass to the container. Default: none.")
    @click.option("--network", metavar="NAME", help="Network of cases that allow one. Default: the engine's.")
    @wraps(command)
    def run(
        input_folder: Path,
        profile: str,
        memory: str | None,
        time_limit: float,
        gpu: str,
        network: str | None,
        **others: Any,
    ) -> None:
        found = find_profile(profile)
        found = found.replace(memory=memory) if memory else found
        command(asked=_Asked(input_folder, found, time_limit, gpu, network), **others)

    return run


@click.group()
def image() -> None:
    """Build, test and export the Docker image.

    Docker, or an engine with the same API, is required, except by verify and diff.
    """
    for package in ("cyclonedx", "packageurl"):  # the Docker SDK is looked for where an engine is needed
        if find_spec(package) is None:
            raise EnvironmentProblem(f"The package {package} is not installed", "Run: pip install 'me-vlip[image]'")


image.add_command(verify)
image.add_command(diff)


@image.command()
@_tag
@settings_options(PredictorSettings, ["checkpoint"])
@click.option("--base", help="Base image. Default: the Dockerfile's.")
@click.option(
    "--cuda",
    type=click.Choice(list(CUDA)),
    default=DEFAULT_CUDA,
    show_default=True,
    help="Which torch; oldest driver: " + ", ".join(f"{driver} for {name}" for name, (_, driver) in CUDA.items()) + ".",
)
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="E.g. PIP_INDEX_URL=...")
@click.option("--network", metavar="NAME", help="Network of the build steps. Default: the engine's.")
@click.option("--cache/--no-cache", default=True, help="Reuse cached build steps.")
@quiet_option
def build(
    tag: str,
    checkpoint: str | None,
    base: str | None,
    cuda: str,
    build_args: Sequence[str],
    network: str | None,
    cache: bool,
    quiet: bool,
) -> None:
    """Build the image around a verified checkpoint.

    \b
    Example: mevlip image build --tag team:latest --checkpoint checkpoints/me-vlip
    """
    from mevlip.checkpoints.checkpoint import find_checkpoint
    from mevlip_release.build import build_image, require_checkout
    from mevlip_release.docker_client import connect

    arguments = dict(argument.partition("=")[::2] for argument in build_args)
    require_checkout()
    folder = find_checkpoint(checkpoint)
    with connect() as client:
        built = build_image(client, tag, folder, base, cuda, arguments, network, quiet, cache)
    click.echo(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id}, {built.seconds:.0f} s")


@image.command()
@_tag
@_line_options
@json_option
def test(tag: str, asked: _Asked, json_file: Path | None) -> None:
    """Test the image as organizers run it, and hardened.

    The official command, a hardened one, and a read-only output folder; the predictions are checked. A GPU that is
    passed and not used is a failure.

    \b
    Example: mevlip image test --tag team:latest
    """
    from mevlip_release.docker_client import connect
    from mevlip_release.smoke_test import check_results
    from mevlip_validation.output import write_json

    with connect() as client:
        results = _run_and_print(client, tag, asked)
    if json_file:
        write_json([result.plain() for result in results], json_file)
    check_results(results)


@image.command()
@click.argument("team")
@_line_options
@click.option("--out", type=OUTPUT_FOLDER, default="dist", show_default=True, help="Output folder.")
@click.option("--most-gb", type=click.FloatRange(0, min_open=True), help="Size limit of the archive in GB.")
@quiet_option
def save(
    team: str,
    asked: _Asked,
    out: Path,
    most_gb: float | None,
    quiet: bool,
) -> None:
    """Test and export an image with its release files.

    The image TEAM:latest becomes OUT/TEAM.tar.gz, with manifest, SBOM, provenance and checksums.

    \b
    Example: mevlip image save team
    """
    from mevlip_release.archive import save_image
    from mevlip_release.docker_client import connect
    from mevlip_release.smoke_test import check_results

    with connect() as client:
        results = _run_and_print(client, f"{team}:latest", asked)
        check_results(results)
        max_bytes = None if most_gb is None else int(most_gb * 1e9)
        saved = save_image(client, team, out, results, max_bytes, quiet)
    click.echo(f"{saved.archive}: {saved.size / 1e6:.0f} MB, sha256 {saved.sha256}")
    click.echo("release files: " + ", ".join(path.name for path in saved.release_files))


@image.command()
@click.argument("archive", type=INPUT_FILE)
@_line_options
@click.option("--out", type=OUTPUT_FOLDER, default="dist", show_default=True, help="Output folder.")
@quiet_option
def rehearse(archive: Path, asked: _Asked, out: Path, quiet: bool) -> None:
    """Take an archive through what a challenge will do with it.

    Every layer is verified, the archive is loaded and run twice in the challenge's line; the outputs must be the same.
    A third run is killed and resumed. Memory, GPU and time are compared with the challenge's limits. OUT gets
    rehearsal.json and rehearsal.html.

    \b
    Example: mevlip image rehearse dist/team.tar.gz --profile flare2026 --gpu device=0
    """
    from mevlip.core.tables import table
    from mevlip_release.docker_client import InvalidImage, connect
    from mevlip_release.rehearsal import rehearse as run_rehearsal
    from mevlip_release.rehearsal import write_rehearsal

    with connect() as client:
        done = run_rehearsal(
            client, archive, asked.profile, asked.inputs, asked.gpu, asked.network, asked.time_limit, quiet
        )
    rows = [(check.name, check.result, check.detail) for check in done.checks]
    click.echo(table(("check", "result", "found"), rows))
    click.echo("\n" + ", ".join(str(path) for path in write_rehearsal(done, out)))
    if failed := [check for check in done.checks if check.passed is False]:
        raise InvalidImage(
            f"{archive.name}: {failed[0].name}: {failed[0].detail}",
            "See the table above and rehearsal.html; fix the image, save it again and rehearse it again.",
        )


@image.command()
@_tag
@click.option("--json", "as_json", is_flag=True, help="Print JSON, including all file names.")
def show(tag: str, as_json: bool) -> None:
    """Show labels, layer sizes and unexpected files of an image.

    \b
    Example: mevlip image show --tag team:latest
    """
    logs.only_warnings()
    from mevlip.core.tables import table
    from mevlip_release.docker_client import InvalidImage, connect
    from mevlip_release.inspection import inspect_image

    with connect() as client:
        inspection = inspect_image(client, tag)
    if as_json:
        click.echo(json.dumps(inspection.plain(), indent=1))
    else:
        click.echo(table(("label", "value"), sorted(inspection.labels.items())))
        click.echo("\n" + table(("MB", "files", "step"), inspection.rows()))
        for found in inspection.unexpected:
            click.echo(f"{found.kind}: {found.where}")
    if inspection.unexpected:
        raise InvalidImage(
            f"{tag} contains {inspection.unexpected_summary}",
            "Remove what is listed above, or build the image from the project's Dockerfile.",
        )


@click.command("zip")
@click.argument("predictions", type=INPUT_FILE)
@click.option(
    "--input",
    "input_folder",
    required=True,
    type=INPUT_FOLDER,
    help="Input folder that the predictions answer.",
)
@click.option("--out", type=OUTPUT_FILE, default="predictions.zip", show_default=True)
def pack(predictions: Path, input_folder: Path, out: Path) -> None:
    """Check PREDICTIONS and write them as a zip.

    The zip contains predictions.json and nothing else.

    \b
    Example: mevlip predictions zip build/demo/predictions.json --input examples/inputs
    """
    from mevlip_release.predictions_zip import write_predictions_zip

    size = write_predictions_zip(predictions, input_folder, out)
    click.echo(f"{out}: {size} bytes")


def _run_and_print(client: DockerClient, tag: str, asked: _Asked) -> list[CaseResult]:
    """Runs all cases and prints a table of the results."""
    from mevlip.core.tables import table
    from mevlip_release.smoke_test import HARDENED, READ_ONLY, official, run_smoke_tests

    cases = (official(asked.profile, asked.network), HARDENED, READ_ONLY)
    results = list(run_smoke_tests(client, tag, asked.inputs, asked.profile, cases, asked.gpu, asked.time_limit))
    rows = [
        (
            one.case,
            "ok" if one.passed else "FAILED",
            one.status,
            one.questions,
            one.seconds,
            one.peak_mib,
            one.gpu or one.device,
        )
        for one in results
    ]
    click.echo(table(("case", "result", "status", "answers", "seconds", "peak MiB", "device"), rows))
    for one in results:
        if not one.passed:
            click.echo("\n".join(one.last_lines), err=True)
    return results
