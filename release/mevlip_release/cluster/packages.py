"""Packages of the extra `cluster`, which only these commands need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mevlip.core.errors import EnvironmentProblem


@contextmanager
def required(name: str) -> Iterator[None]:
    """Says how to install a package that the block imports, where it is not there.

    Raises:
        EnvironmentProblem: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name:
            raise
        raise EnvironmentProblem(
            f"The package {name} is not installed", "Install the extra: pip install 'me-vlip[cluster]'."
        ) from error
