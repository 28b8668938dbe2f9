"""The command `mevlip predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import quiet_option, settings_options
from mevlip.core.tables import table
from mevlip.settings import PredictorSettings, RunSettings

if TYPE_CHECKING:
    from mevlip.runs.report import RunReport

_OPTIONS = [name for name in RunSettings.model_fields if name not in ("input", "output")]


@click.command()
@click.argument("input_folder", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output_folder", metavar="OUTPUT", type=click.Path(path_type=Path))
@settings_options(PredictorSettings)
@settings_options(RunSettings, _OPTIONS)
@quiet_option
@click.pass_context
def predict(
    context: click.Context,
    /,
    input_folder: Path,
    output_folder: Path,
    checkpoint: str | None,
    device: Any,
    verify: Any,
    quiet: bool,
    **options: Any,
) -> None:
    """Answer every question below INPUT.

    OUTPUT/predictions.json appears complete and checked, or not at all.

    Finished answers are kept in a journal in OUTPUT until the run is complete: after an interruption the same command
    resumes where it stopped.

    \b
    Example: mevlip predict examples/inputs build/demo
    """
    from mevlip.predictor import Predictor
    from mevlip.runs.folder import run_folder
    from mevlip.runs.report import check_failures

    predictor = Predictor.find(PredictorSettings(checkpoint=checkpoint, device=device, verify=verify), quiet=quiet)
    settings = RunSettings(input=input_folder, output=output_folder, **options)
    report = run_folder(predictor, settings, quiet, sources=_sources(context))
    if not quiet:
        click.echo(_summary(report), err=True)
    check_failures(report, settings)


def _sources(context: click.Context) -> dict[str, str]:
    """Where each setting comes from, such as `commandline`, `environment` or `default`."""
    names = {"input_folder": "input", "output_folder": "output"}
    found = {name: context.get_parameter_source(name) for name in context.params}
    return {names.get(name, name): source.name.lower() for name, source in found.items() if source is not None}


def _summary(report: RunReport) -> str:
    from mevlip.answers import STAGES

    counters, seconds = report.counters, report.seconds
    phases = ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items())
    lines = [
        table(("task", "questions", "own adapter", "generalist", *STAGES), report.by_task()),
        f"cost: {counters.forwards} forwards, {counters.prefill_tokens} prompt tokens, "
        f"{counters.generated_tokens} generated tokens, "
        f"{counters.image_encodes} image tiles, {counters.adapter_switches} adapter switches, "
        f"{counters.router_forwards} router batches",
        f"seconds: {phases}",
    ]
    lines += [f"{count} fallbacks: {reason}" for reason, count in report.reasons.most_common(10)]
    return "\n".join([*lines, f"wrote {len(report.answers)} answers to {report.predictions}"])
