"""Breaking runs on purpose: `python -m benchmarks.faults [--kills N] [--only NAME]`.

The demo checkpoint's router and model are loaded once; each run is a fork of this process, under a limit of memory, so
that it can be killed, starved and disturbed without waiting for another start. After each fault the same run is started
again, and its predictions.json is compared, byte for byte, with that of a run that nothing disturbed. Docs:
docs/reliability.md.

Faults that a kernel makes are real: SIGKILL, SIGTERM, a full and a read-only file system (as root, in tmpfs mounts of a
namespace of its own; without that right these are left out and said to be). An input/output error and running out of
memory on a GPU are planted in the code.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.faults.bench import Bench, Promise
from benchmarks.faults.cases import CASES
from mevlip.core.tables import table


def try_all(kills: int, names: tuple[str, ...] = ()) -> list[Promise]:
    """Tries the promises, all or some.

    Args:
        kills: Number of points at which runs are killed; other faults are as many in proportion.
        names: The cases wanted; empty for all.
    """
    with tempfile.TemporaryDirectory(prefix="mevlip-faults-") as scratch:
        bench = Bench(Path(scratch), kills)
        return [promise for name in names or CASES for promise in CASES[name](bench)]


@click.command()
@click.option(
    "--kills", type=click.IntRange(1), default=200, show_default=True, help="Points at which runs are killed."
)
@click.option("--only", type=click.Choice(list(CASES)), multiple=True, help="A case; all without this option.")
def main(kills: int, only: tuple[str, ...]) -> None:
    """Breaks runs on purpose and counts answers lost."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    promises = try_all(kills, only)
    rows = []
    for promise in promises:
        where = ", ".join(f"{number} {place}" for place, number in promise.notes.items())
        rows.append((promise.text, promise.cases, len(promise.broken), where))
    click.echo(table(("promise", "cases", "broken", "where"), rows))
    for promise in promises:
        for line in promise.broken:
            click.echo(f"BROKEN: {promise.text}: {line}")
    sys.exit(any(promise.broken for promise in promises))


if __name__ == "__main__":
    main()
