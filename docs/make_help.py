"""Writes docs/help.md from the commands themselves; `--check` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mevlip.cli.main import cli

PAGE = Path(__file__).with_name("help.md")


def render() -> str:
    """The page's text."""
    context = click.Context(cli, info_name="mevlip", max_content_width=110, terminal_width=110)
    parts = ["# The `mevlip` command", "", "Written by `docs/make_help.py`; a test compares it with the code.", ""]
    parts += ["```text", cli.get_help(context), "```", *_sections(cli, context)]
    return "\n".join(parts) + "\n"


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    """The help of each command of a group, groups inside it included."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name  # noqa: S101 - it was just listed
        inner = click.Context(command, parent=context, info_name=name, max_content_width=110, terminal_width=110)
        yield from ("", f"## {inner.command_path}", "", "```text", command.get_help(inner), "```")
        if isinstance(command, click.Group):
            yield from _sections(command, inner)


if __name__ == "__main__":
    text = render()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
    elif PAGE.read_text("utf-8") != text:
        sys.exit(f"{PAGE} is out of date: run python docs/make_help.py")
