"""The `mevlip` command: options become calls, errors become exit statuses. Everything heavy is imported late."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from mevlip import __version__
from mevlip.cli.ask import ask
from mevlip.cli.doctor import doctor
from mevlip.cli.groups import Group
from mevlip.cli.predict import predict
from mevlip.cli.predictions import predictions
from mevlip.core import interrupts, logs, streams
from mevlip.core.errors import ExitCode, MevlipError
from mevlip.core.tables import table
from mevlip.tasks import TASKS


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mevlip")
def cli() -> None:
    """ME-VLIP: a reproducible submission package for the FLARE 2D medical vision-language challenge.

    \b
    Exit statuses: 0 done, 1 internal error, 2 wrong usage, 3 environment or checkpoint,
    4 finished, but the model failed on more questions than --max-failures, 5 no usable input,
    6 invalid output, 7 no container engine, 8 the model, its device or a library broke,
    9 training failed, 130 interrupted.
    The last line on stderr gives the cause and the remedy.
    """


for _command in (predict, ask, doctor, predictions):
    cli.add_command(_command)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def tasks(as_json: bool) -> None:
    """List the task types: adapter, answer, metric, spellings."""
    if as_json:
        rows = [{**vars(task), "answer": task.answer.__name__, "adapter": task.adapter} for task in TASKS.values()]
        click.echo(json.dumps(rows, indent=1))
        return
    header = ("task", "adapter", "answer", "metric", "better", "fallback", "TaskType spellings")
    click.echo(
        table(
            header,
            [
                (t.title, t.adapter, t.answer.__name__, t.metric, t.direction, t.fallback, ", ".join(t.spellings))
                for t in TASKS.values()
            ],
        )
    )


def main() -> NoReturn:
    """Entry point: runs the command and leaves with its exit status."""
    streams.secure()
    interrupts.install()
    logs.start()
    try:
        cli.main(standalone_mode=False)
        streams.finish()
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
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
    except BrokenPipeError:
        streams.drop_output()  # its reader has enough, as `head` does
    except OSError as error:
        _leave(_describe(error), ExitCode.ENVIRONMENT)
    except Exception as error:
        logging.getLogger(__name__).error("internal error", exc_info=True)
        detail = (str(error).splitlines() or [""])[0]
        _leave(
            f"Internal error ({type(error).__name__}: {detail}). Please report it with the lines above",
            ExitCode.INTERNAL,
        )
    sys.exit(ExitCode.DONE)


def _describe(error: OSError) -> str:
    try:
        Path.cwd()
    except OSError:
        return "The current folder no longer exists. Change to another one, and name files by their full paths"
    what = error.filename or "A file, or what the output is sent to,"
    return (
        f"{what} cannot be read or written ({error.strerror or error}). "
        "Check the path, its permissions and the free space"
    )


def _leave(message: str, code: ExitCode) -> NoReturn:
    click.echo(f"mevlip: error: {message}", err=True)
    with contextlib.suppress(OSError):  # the status is that of the cause
        streams.finish()
    if code is ExitCode.INTERRUPTED:
        # An interrupt that passed through exec() of a string, as libraries do, makes Python end itself by SIGINT later.
        os._exit(code)
    sys.exit(int(code))
