"""Output folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem


@contextmanager
def whole_folder(out: Path, mark: str, source: Path) -> Iterator[Path]:
    """Gives a folder to write; it takes the place of `out` when the block ends without an error.

    Args:
        out: The folder wanted. An existing one is replaced where it is empty or holds `mark`.
        mark: Name of a file that the block writes, by which a later run knows the folder as its own.
        source: The folder that is read meanwhile.

    Raises:
        EnvironmentProblem: `out` holds something else, overlaps `source`, or cannot be written.
    """
    out, source = out.resolve(), source.resolve()
    if out.is_relative_to(source) or source.is_relative_to(out):
        raise EnvironmentProblem(f"{out} and {source} lie within each other", "Name an --out beside the input folder.")
    if out.exists() and not (out / mark).is_file() and (out.is_file() or any(out.iterdir())):
        raise EnvironmentProblem(
            f"{out} exists and was not written by this command", "Name a new or an empty folder as --out."
        )
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what an interrupted run left
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename or out} cannot be written ({error.strerror})", "Name another --out, or free some space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
