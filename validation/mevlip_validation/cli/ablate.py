"""`mevlip ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mevlip.cli.options import INPUT_FOLDER, json_option, quiet_option, seed_option, settings_options
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_validation.cli.options import known_rows, resamples_option, train_option, truth_option
from mevlip_validation.defaults import SEED


@click.command()
@click.argument("input_folder", metavar="INPUT", type=INPUT_FOLDER)
@truth_option
@train_option
@settings_options(PredictorSettings)
@settings_options(AnswerSettings, ["batch_size"])
@click.option("--consistency", is_flag=True, help="Also ask with shuffled options and in other words.")
@resamples_option
@seed_option(SEED)
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="build/ablation",
    show_default=True,
    help="Folder for predictions.",
)
@quiet_option
def ablate(
    input_folder: Path,
    truth: Path,
    train: Path | None,
    checkpoint: str | None,
    device: Any,
    verify: Any,
    batch_size: int,
    consistency: bool,
    resamples: int,
    seed: int,
    json_file: Path | None,
    out: Path,
    quiet: bool,
) -> None:
    """Compare adapters, routing and images on one input.

    INPUT is answered by the base alone, the generalist, the router and the declared tasks, with one loaded model.

    Two controls show what the images contribute: blank images, and questions without images. With --consistency,
    a table says how many answers survive another order of the options, and other words of the question.

    \b
    Example: mevlip ablate examples/inputs --truth examples/inputs
    """
    from mevlip.core.tables import table
    from mevlip.predictor import Predictor
    from mevlip.settings import RunSettings
    from mevlip_validation import ablation, comparison_output, output
    from mevlip_validation.rewordings import Stability, stability

    predictor = Predictor.find(PredictorSettings(checkpoint=checkpoint, device=device, verify=verify), quiet=quiet)
    settings = RunSettings(input=input_folder, output=out, batch_size=batch_size)
    folder, truths = ablation.read_folders(input_folder, truth, out)
    answers = ablation.answer_all(predictor, settings, folder, truths, quiet=quiet)
    found = ablation.ablate(answers, known_rows(train), resamples, seed)
    click.echo(ablation.render(found))
    stable: list[Stability] = []
    if consistency:
        reworded = ablation.answer_reworded(predictor, settings, folder, truths, quiet=quiet)
        original = answers[ablation.ROUTED]
        for name, rows in reworded.items():
            stable += stability(name, original, rows, resamples, seed)
        click.echo("\n" + table(*output.stability_rows(stable)))
    if json_file:
        content = {name: output.scores_as_json(scores) for name, scores in found.scores.items()}
        pairs = {
            f"{second} over {first}": comparison_output.comparisons_as_json(comparisons)
            for (first, second), comparisons in found.comparisons.items()
        }
        output.write_json(
            {"systems": content, "comparisons": pairs, "consistency": output.stability_as_json(stable)}, json_file
        )
