"""Groups of commands that other packages can extend by entry points."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

COMMANDS = "mevlip.commands"
"""Entry points by which packages that the image does not hold offer their commands: `score`, `predictions.check`."""


@cache
def _announced() -> tuple[EntryPoint, ...]:
    """Every entry point; all installed packages are searched for them, once."""
    return tuple(entry_points(group=COMMANDS))


class Group(click.Group):
    """A group that imports a foreign command only when it is asked for.

    Args:
        path: The group's own name with a dot behind it, empty for the whole program.
    """

    def __init__(self, *arguments: Any, path: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in order of the alphabet."""
        return sorted([*super().list_commands(ctx), *self._foreign()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The group's own command of a name, or another package's."""
        if entry := self._foreign().get(cmd_name):
            command: click.Command = entry.load()
            return command
        return super().get_command(ctx, cmd_name)

    def _foreign(self) -> dict[str, EntryPoint]:
        found = {
            entry.name.removeprefix(self.path): entry for entry in _announced() if entry.name.startswith(self.path)
        }
        return {name: entry for name, entry in found.items() if "." not in name}
