"""The commands `mevlip checkpoint assemble|check|convert|fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FOLDER

if TYPE_CHECKING:
    from mevlip.checkpoints.checkpoint import Checkpoint


@click.group()
def checkpoint() -> None:
    """Assemble, check or fetch a checkpoint; convert a base."""


@checkpoint.command()
@click.option("--base", type=INPUT_FOLDER, required=True, help="Folder of the base model.")
@click.option(
    "--adapters",
    type=INPUT_FOLDER,
    required=True,
    help="Folder with the packed adapters: the generalist and others.",
)
@click.option("--router", type=INPUT_FOLDER, required=True, help="Folder of the task classifier.")
@click.option(
    "--out", type=OUTPUT_FOLDER, default=Path("checkpoints/me-vlip"), show_default=True, help="The new folder."
)
@click.option("--kind", type=click.Choice(["medical", "demo"]), default="medical", show_default=True)
@click.option("--notice", default="", help="One line that the predictor shows at every run.")
@click.option(
    "--quantize",
    type=click.Choice(["nf4"]),
    help="Store the base in four bits, as it is quantized at every start otherwise: 5.7 GB instead of 16 for 8 B.",
)
@click.option(
    "--probe/--no-probe",
    default=True,
    show_default=True,
    help="Load the model and record a known answer of each adapter, which every later run is compared with.",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Let adapters answer together as compose and mix say in this recipe, in place of their routes; nothing else "
    "is taken from it.",
)
def assemble(
    base: Path,
    adapters: Path,
    router: Path,
    out: Path,
    kind: Literal["medical", "demo"],
    notice: str,
    quantize: str | None,
    probe: bool,
    recipe: str | None,
) -> None:
    """Assemble base model, adapters and router.

    The new folder gets a manifest with the checksum of every file. Adapters must have been trained on this base. Tasks
    without an adapter of their own are answered by the generalist.

    \b
    Example: mevlip checkpoint assemble --base bases/internvl3-8b --adapters runs/adapters --router runs/router
    """
    from mevlip_training.assembly import assemble as put_together
    from mevlip_training.recipes.reading import read_recipe

    made = put_together(
        out,
        base=base,
        adapters=adapters,
        router=router,
        name=out.name,
        kind=kind,
        notice=notice,
        quantize=quantize is not None,
        probe=probe,
        recipe=read_recipe(recipe).recipe if recipe else None,
    )
    _show(made, "assembled")


@checkpoint.command()
@click.argument("folder", type=INPUT_FOLDER)
def check(folder: Path) -> None:
    """Check the files and routes of a checkpoint FOLDER.

    Every file is compared with the manifest, and each route with its weights, its base and the other routes.

    Whether its adapters answer as recorded is what `mevlip doctor --checkpoint FOLDER` shows.

    \b
    Example: mevlip checkpoint check checkpoints/demo
    """
    from mevlip.checkpoints.checkpoint import open_checkpoint

    _show(open_checkpoint(folder), "verified")


@checkpoint.command()
@click.argument("source", type=INPUT_FOLDER)
@click.argument("out", type=OUTPUT_FOLDER)
def convert(source: Path, out: Path) -> None:
    """Convert a base from InternVL's original layout.

    SOURCE is the folder of an InternVLChatModel, such as Fleming-VL-8B; OUT becomes a base in the layout of
    transformers, in bfloat16. Every tensor is accounted for before anything is written, and no code from SOURCE is
    executed.

    \b
    Example: mevlip checkpoint convert downloads/Fleming-VL-8B bases/fleming-vl-8b
    """
    from mevlip_training.conversion.convert import convert as write

    made = write(source, out)
    click.echo(
        f"{out}: converted, {made.tensors} tensors, {made.parameters / 1e9:.2f} billion parameters, "
        f"{2 * made.parameters / 1e9:.1f} GB; name it as --tokenizer and --base"
    )


@checkpoint.command()
@click.argument("repository")
@click.option("--revision", required=True, help="The commit, all 40 characters.")
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="Where to put the files.")
def fetch(repository: str, revision: str, out: Path) -> None:
    """Fetch a base model or checkpoint from a model hub.

    REPOSITORY is fetched at one commit, safetensors only.

    \b
    Example: mevlip checkpoint fetch OpenGVLab/InternVL3-8B-hf \\
               --revision 259a3b64a14623c0ec91a045cb43f7c5af5fa6af --out bases/internvl3-8b
    """
    from mevlip_training.assembly import fetch as download

    if opened := download(repository, revision, out):
        _show(opened, "fetched and verified")
    else:
        click.echo(f"{out}: fetched; it has no manifest.json, so it is a part of a checkpoint, to be assembled")


def _show(opened: Checkpoint, what: str) -> None:
    from mevlip.checkpoints.checkpoint import stored_quantization
    from mevlip.core.tables import table

    rows = [
        (
            route.adapter,
            len(route.max_new_tokens),
            route.box_space,
            route.images.max_count,
            route.quantization.kind,
            "by name only" if route.base_assumed else "verified",
            "recorded" if route.adapter in opened.probes else "MISSING",
        )
        for route in opened.routes.values()
    ]
    click.echo(table(("adapter", "tasks", "boxes", "images", "weights", "base", "known answer"), rows))
    manifest = opened.manifest
    if manifest.generalist_for:
        click.echo(f"answered by the generalist, without an adapter of their own: {', '.join(manifest.generalist_for)}")
    click.echo(
        f"{opened.folder}: {what}, {len(manifest.files)} files, {manifest.size / 1e6:.1f} MB, "
        f"{manifest.kind}, base {manifest.base.name}@{manifest.base.revision[:8]}"
        f"{', stored in four bits' if stored_quantization(opened.base) else ''}"
    )
