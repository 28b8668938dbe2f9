"""`mevlip ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mevlip.cli.options import INPUT_FOLDER, json_option, quiet_option, seed_option, settings_options, take_settings
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_validation.cli.options import known_rows, resamples_option, train_option, truth_option
from mevlip_validation.defaults import SEED


@click.command()
@click.argument("input_folder", metavar="INPUT", type=INPUT_FOLDER)
@truth_option
@train_option
@settings_options(PredictorSettings)
@settings_options(AnswerSettings, ["batch_tokens"])
@click.option(
    "--other",
    metavar="DIR|NAME",
    help="Another checkpoint to compare with this one; it is loaded when this one is done.",
)
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
    batch_tokens: int | None,
    other: str | None,
    consistency: bool,
    resamples: int,
    seed: int,
    json_file: Path | None,
    out: Path,
    quiet: bool,
    **options: Any,
) -> None:
    """Compare adapters, routing and images on one input.

    INPUT is answered by the base alone, the generalist, the router and the declared tasks, with one loaded model.

    With --other a second checkpoint answers, too, such as one whose adapters were trained further.

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

    chosen = take_settings(PredictorSettings, options)
    predictor = Predictor.find(chosen, quiet=quiet)
    rival = Predictor.find(chosen.model_copy(update={"checkpoint": other}), quiet=quiet) if other else None
    settings = RunSettings(input=input_folder, output=out, batch_tokens=batch_tokens)
    folder, truths = ablation.read_folders(input_folder, truth, out)
    answers = ablation.answer_all(predictor, settings, folder, truths, quiet=quiet)
    reworded = ablation.answer_reworded(predictor, settings, folder, truths, quiet=quiet) if consistency else {}
    if rival is not None:
        predictor.close()  # a GPU may not have room for both
        answers |= ablation.answer_all(rival, settings, folder, truths, [ablation.other(rival)], quiet)
    found = ablation.ablate(answers, known_rows(train), resamples, seed)
    click.echo(ablation.render(found))
    stable: list[Stability] = []
    for name, rows in reworded.items():
        stable += stability(name, answers[ablation.ROUTED], rows, resamples, seed)
    if consistency:
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
