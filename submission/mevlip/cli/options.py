"""Options that mean the same in every command; those of a settings model are made from the model itself."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mevlip.core import logs

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Settings = TypeVar("_Settings", bound="BaseModel")

_METAVARS = {"checkpoint": "DIR|NAME", "max_failures": "N|P%", "shard": "I/N", "thinking": "on|off|N"}
INPUT_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
INPUT_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT_FILE = click.Path(dir_okay=False, path_type=Path)
OUTPUT_FOLDER = click.Path(file_okay=False, path_type=Path)


def settings_options(
    model: type[BaseModel], names: Iterable[str] | None = None, *, env: bool = True
) -> Callable[[_Command], _Command]:
    """Adds an option for each field of a settings model: name, type, default and help are the field's.

    Args:
        model: The settings model.
        names: The fields wanted, in order; None for all.
        env: Whether the environment can set them, too: `--batch-tokens` is MEVLIP_BATCH_TOKENS.
    """
    chosen = [*(names if names is not None else model.model_fields)]

    def add(command: _Command) -> _Command:
        for name in reversed(chosen):
            command = _option(model, name, model.model_fields[name], env)(command)
        return command

    return add


def take_settings(model: type[_Settings], options: dict[str, Any]) -> _Settings:
    """Takes what belongs to a settings model out of a command's options."""
    return model(**{name: options.pop(name) for name in model.model_fields if name in options})


def _option(model: type[BaseModel], name: str, field: FieldInfo, env: bool) -> Callable[[_Command], _Command]:
    def check(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
        from pydantic import ValidationError

        if value is None:
            return None
        try:
            model.__pydantic_validator__.validate_assignment(model.model_construct(), name, value)
        except ValidationError as error:
            raise click.BadParameter(f"{value!r}: {error.errors()[0]['msg']}.") from error
        return value

    flag = "--" + name.replace("_", "-")
    kind, metavar = _type(field.annotation)
    return click.option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        type=None if kind is bool else kind,
        default=field.default,
        metavar=_METAVARS.get(name, metavar),
        callback=check,
        envvar=f"MEVLIP_{name.upper()}" if env else None,
        show_envvar=env,
        show_default=field.default is not None,
        help=field.description,
    )


def _type(annotation: Any) -> tuple[Any, str | None]:
    """The click type of a field, and the word that stands for its value in the help."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Annotated:  # the model checks the bounds
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Literal:
        return click.Choice(typing.get_args(annotation)), None
    if annotation is Path:
        return OUTPUT_FILE, "FILE"
    return annotation, None


def _silence(_context: click.Context, _option: click.Parameter, quiet: bool) -> bool:
    if quiet:
        logs.only_warnings()
    return quiet


quiet_option = click.option(
    "--quiet", is_flag=True, callback=_silence, help="Show no progress, only warnings and errors."
)
json_option = click.option("--json", "json_file", type=OUTPUT_FILE, metavar="FILE", help="Write all figures as JSON.")


def seed_option(default: int) -> Callable[[_Command], _Command]:
    """`--seed`."""
    return click.option("--seed", type=click.IntRange(0), default=default, show_default=True, help="Random seed.")
