"""`mevlip reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FOLDER, quiet_option, seed_option, settings_options, take_settings
from mevlip.settings import PredictorSettings
from mevlip_validation.cli.options import resamples_option
from mevlip_validation.defaults import SEED


def _systems(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Checkpoints by the paper's name of the model."""
    from mevlip_validation.reproduction import NAMES

    found: dict[str, str] = {}
    for value in values:
        name, _, checkpoint = value.partition("=")
        if not checkpoint:
            raise click.BadParameter(f"{value!r} is not NAME=CHECKPOINT. Write, for example, {NAMES[-1]}=me-vlip.")
        if name not in NAMES:
            raise click.BadParameter(f"{name!r} is not a system of Table 3. Name one of {', '.join(NAMES)}.")
        if name in found:
            raise click.BadParameter(f"{name} is given twice. Name one checkpoint for each system.")
        found[name] = checkpoint
    return found


@click.command()
@click.option(
    "--system",
    "systems",
    multiple=True,
    required=True,
    metavar="NAME=CHECKPOINT",
    callback=_systems,
    help="A model of Table 3 (Qwen2.5-VL-7B, MedGemma-4B, InternVL3-8B) and its checkpoint. May be repeated.",
)
@click.option("--public", type=INPUT_FOLDER, help="Public validation: questions with their *_withGT.json beside them.")
@click.option("--hidden", type=INPUT_FOLDER, help="Hidden validation, likewise.")
@click.option("--out", required=True, type=OUTPUT_FOLDER, help="Folder for the table, the figure and predictions.")
@click.option("--limit", type=click.IntRange(1), help="Ask only the first N questions of each task.", metavar="N")
@settings_options(PredictorSettings, ["device", "max_memory", "verify"])
@resamples_option
@seed_option(SEED)
@quiet_option
def reproduce(
    systems: dict[str, str],
    public: Path | None,
    hidden: Path | None,
    out: Path,
    limit: int | None,
    resamples: int,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Reproduce Table 3 and Figure 5 of the ME-VLIP paper.

    Each checkpoint answers the sets as the table's columns do: with its generalist adapter, and InternVL3-8B also
    with the task classifier and, for the figure, as base alone. Scores stand beside the printed ones where measure and
    protocol agree; columns that were not run show the printed score only.

    \b
    --out receives reproduce.json, table3.tex, figure5.svg, figure5.png and the predictions.

    \b
    Example: mevlip reproduce --system InternVL3-8B=me-vlip --public PUBLIC --hidden HIDDEN --out build/reproduction
    """
    # Before hours of answering: matplotlib may be missing.
    from mevlip.predictor import Predictor
    from mevlip_validation import reproduction, reproduction_figure, reproduction_output

    if public and hidden and public.resolve() == hidden.resolve():
        raise click.UsageError("--public and --hidden are the same folder. Name each set, or leave one out.")
    given = {"public": public, "hidden": hidden}
    folders = {name: given[name] for name in reproduction.SETS}
    sets = {
        name: reproduction.read_set(_apart(root, out), out, limit) for name, root in folders.items() if root is not None
    }
    if not sets:
        raise click.UsageError("There is nothing to answer. Name a folder with --public, --hidden or both.")
    settings = take_settings(PredictorSettings, options)
    # All are found before the first is loaded.
    predictors = {
        name: Predictor.find(settings.model_copy(update={"checkpoint": str(_found(name, checkpoint))}), quiet=quiet)
        for name, checkpoint in systems.items()
    }
    runs = {}
    for name, predictor in predictors.items():
        runs[name] = reproduction.run_checkpoint(name, predictor, sets, out / "predictions", resamples, seed, quiet)
        predictor.close()  # before the next is loaded: a GPU may not have room for both
    what = reproduction_output.Reproduction(runs, limit, resamples, seed)
    click.echo(reproduction_output.render(what))
    reproduction_output.write_reproduction(what, out / "reproduce.json")
    reproduction_output.write_tex(what, out / "table3.tex")
    reproduction_figure.write_figure(what, out)


def _apart(root: Path, out: Path) -> Path:
    """The folder of a set, which the output must not lie in."""
    if out.resolve().is_relative_to(root.resolve()):
        raise click.UsageError(f"{out} lies in {root}. Name an --out outside of it.")
    return root


def _found(name: str, checkpoint: str) -> Path:
    """The checkpoint's folder; where there is none, the remedy names this command's own option."""
    from mevlip.checkpoints.checkpoint import find_checkpoint
    from mevlip.core.errors import CheckpointError

    try:
        return find_checkpoint(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(error.cause, f"Name its folder: --system {name}=FOLDER.") from error
