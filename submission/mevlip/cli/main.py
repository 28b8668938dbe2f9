"""The `mevlip` command: options become calls, errors become exit statuses. Everything heavy is imported late."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mevlip import __version__
from mevlip.core import interrupts
from mevlip.core.errors import EnvironmentProblem, ExitCode, MevlipError, OutputError
from mevlip.core.tables import shorten, table
from mevlip.tasks import TASKS, parse_task_type

if TYPE_CHECKING:
    from mevlip.predictor import RunReport

_COMMANDS = "mevlip.commands"
"""Entry points by which packages that the image does not hold offer their commands."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Group(click.Group):
    """A group that imports a foreign command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *entry_points(group=_COMMANDS).names])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        for entry in entry_points(group=_COMMANDS, name=name):
            command: click.Command = entry.load()
            return command
        return super().get_command(ctx, name)


def setting(name: str, **options: Any) -> Callable[[_Command], _Command]:
    """An option that the environment can set too: `--batch-size` is MEVLIP_BATCH_SIZE."""
    variable = "MEVLIP_" + name.split("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, show_default=True, **options)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mevlip")
def cli() -> None:
    """ME-VLIP: a reproducible submission package for the FLARE 2D medical vision-language challenge.

    \b
    Exit statuses: 0 done, 1 internal error, 2 wrong usage, 3 environment or checkpoint,
    4 finished, but the model failed on more questions than --max-failures, 5 no usable input,
    6 invalid output, 7 no container engine, 8 the model, its device or a library broke, 130 interrupted.
    The last line on stderr says the cause and the remedy.
    """


def _check_limit(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[0-9]+%?", value):
        raise click.BadParameter(f"{value!r} is neither a number nor a percentage, such as 3 or 5%.")
    return value


checkpoint_option = setting(
    "--checkpoint", metavar="DIR|NAME", help="Default: checkpoints/me-vlip, else checkpoints/demo."
)
device_option = setting(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    help="auto takes the GPU if there is one and says so; cuda never falls back.",
)


@cli.command()
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@checkpoint_option
@device_option
@setting(
    "--routing",
    type=click.Choice(["router", "declared", "generalist", "base"]),
    default="router",
    help="Choose adapters by question text, by the records' TaskType, always the generalist, or none (base).",
)
@setting(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Least confidence for a task's own adapter. Default: the checkpoint's.",
)
@setting("--batch-size", type=click.IntRange(1), default=8, help="Most questions per forward.")
@setting(
    "--constrain/--no-constrain",
    default=True,
    help="Let the model only say what a question allows; without, its free text is parsed and mended.",
)
@setting(
    "--explanations",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write how each answer came about, as JSON lines.",
)
@setting("--limit", type=click.IntRange(1), help="Answer only the first N questions; the output is partial.")
@setting(
    "--max-failures",
    metavar="N|P%",
    callback=_check_limit,
    default="5%",
    help="Exit 4 if the model fails on more questions than this: it breaks or says nothing of use. "
    "Unreadable images are not counted.",
)
@setting("--quiet", is_flag=True, help="Print warnings and errors only.")
def predict(quiet: bool, **options: Any) -> None:
    """Answer every question below INPUT and write OUTPUT/predictions.json.

    Finished answers are kept in a journal in OUTPUT until the run is complete: after an interruption the same command
    goes on where it stopped.

    \b
    Example: mevlip predict examples/inputs build/demo
    """
    start_logging(quiet)
    from mevlip.predictor import enforce
    from mevlip.predictor import predict as run
    from mevlip.run.settings import Settings

    settings = Settings(**options)
    report = run(settings, quiet=quiet)
    if not quiet:
        click.echo(_summary(report), err=True)
    enforce(report, settings)


def _summary(report: RunReport) -> str:
    from mevlip.answers import STAGES

    counters, seconds = report.counters, report.seconds
    phases = ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items())
    lines = [
        table(("task", "questions", "own adapter", "multi-task", *STAGES), report.by_task()),
        f"cost: {counters.forwards} forwards, {counters.prefill_tokens} prompt tokens, "
        f"{counters.generated_tokens} generated tokens, "
        f"{counters.image_encodes} image tiles, {counters.adapter_switches} adapter switches, "
        f"{counters.router_forwards} router batches",
        f"seconds: {phases}",
    ]
    lines += [f"{count} fallbacks: {reason}" for reason, count in report.reasons.most_common(10)]
    return "\n".join([*lines, f"wrote {len(report.results)} answers to {report.predictions}"])


@cli.command()
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--per-task", type=click.IntRange(1), default=3, show_default=True, help="Rows shown of each task.")
def show(predictions: Path, per_task: int) -> None:
    """Print a table of answers per task from a PREDICTIONS file.

    \b
    Example: mevlip show build/demo/predictions.json
    """
    try:
        content = json.loads(predictions.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise OutputError(f"{predictions} is no list of records", "Name a predictions.json.")
    shown: dict[str, list[tuple[str, ...]]] = {}
    for row in content:
        task = parse_task_type(row.get("TaskType"))
        title = TASKS[task].title if task else "(no known TaskType)"
        names = row.get("ImageName")
        image = f"{len(names)} images" if isinstance(names, list) else str(names).rsplit("/", 1)[-1]
        cells = (title, str(row.get("Modality", "")), shorten(image, 24), shorten(str(row.get("Question", "")), 40))
        shown.setdefault(title, []).append((*cells, shorten(str(row.get("Answer")), 44)))
    order = [task.title for task in TASKS.values()]
    titles = sorted(shown, key=lambda title: order.index(title) if title in order else len(order))
    rows = [row for title in titles for row in shown[title][:per_task]]
    click.echo(table(("task", "modality", "image", "question", "answer"), rows))


@cli.command()
@checkpoint_option
@device_option
def doctor(**options: Any) -> None:
    """Check this machine and a checkpoint: packages, 4-bit kernels, GPU, memory, files, adapters, one question.

    \b
    Example: mevlip doctor --checkpoint checkpoints/demo
    """
    start_logging(quiet=True)
    from mevlip.run.doctor import examine

    findings = []
    for finding in examine(options["checkpoint"], options["device"]):
        findings.append(finding)
        click.echo(f"{finding.status:4}  {finding.subject:14}  {finding.detail}")
    failed = [finding for finding in findings if finding.status == "FAIL"]
    if failed:
        raise EnvironmentProblem(f"{failed[0].subject}: {failed[0].detail}", failed[0].remedy)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def tasks(as_json: bool) -> None:
    """List the seven task types: adapter, answer, metric, spellings."""
    if as_json:
        click.echo(json.dumps([{**asdict(task), "adapter": task.adapter} for task in TASKS.values()], indent=1))
        return
    header = ("task", "adapter", "answer", "metric", "better", "fallback", "TaskType spellings")
    click.echo(
        table(
            header,
            [
                (t.title, t.adapter, t.answer_type, t.metric, t.direction, t.fallback, ", ".join(t.spellings))
                for t in TASKS.values()
            ],
        )
    )


def start_logging(quiet: bool) -> None:
    """Sends log lines to stderr, of warnings and errors only where it is to be quiet."""
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="mevlip: %(message)s", stream=sys.stderr, force=True
    )
    warnings.simplefilter("ignore")  # the libraries' own; what matters is checked and raised


def main() -> NoReturn:
    """Entry point: runs the command and leaves with its exit status."""
    interrupts.install()
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MevlipError as error:
        if error.exit_code is ExitCode.MODEL_FAILED:
            logging.getLogger(__name__).error("what broke", exc_info=True)
        _leave(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave("Interrupted. Run the same command again to go on with what is left", ExitCode.INTERRUPTED)
    except ModuleNotFoundError as error:
        _leave(
            f"The package {error.name} cannot be imported ({error.msg}). "
            "Install with the versions in constraints/predict.txt, or run make",
            ExitCode.ENVIRONMENT,
        )
    except Exception as error:
        logging.getLogger(__name__).error("internal error", exc_info=True)
        detail = (str(error).splitlines() or [""])[0]
        _leave(
            f"Internal error ({type(error).__name__}: {detail}). Please report it with the lines above",
            ExitCode.INTERNAL,
        )
    sys.exit(ExitCode.DONE)


def _leave(message: str, code: ExitCode) -> NoReturn:
    click.echo(f"mevlip: error: {message}", err=True)
    if code is ExitCode.INTERRUPTED:
        # An interrupt that passed through exec() of a string, as libraries do, makes Python end itself by SIGINT later.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(int(code))
