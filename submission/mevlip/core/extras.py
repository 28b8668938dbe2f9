"""Packages that come with one of this package's extras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mevlip.core.errors import EnvironmentProblem


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Names the extra to install where the block imports a package that is not installed.

    Args:
        extra: The extra that brings the block's packages.
        purpose: What needs them, with its verb, such as `The report needs`.

    Raises:
        EnvironmentProblem: The block imported such a package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"{purpose} {error.name}, which is not installed", f"Run: pip install 'me-vlip[{extra}]'"
        ) from error
