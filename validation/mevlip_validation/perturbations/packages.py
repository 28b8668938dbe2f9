"""Packages of the extra `robust`, which only perturbations need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mevlip.core.errors import EnvironmentProblem

_PACKAGES = ("scipy", "skimage")


@contextmanager
def robust_packages() -> Iterator[None]:
    """Says how to install a package that the block imports, where it is not there.

    Raises:
        EnvironmentProblem: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        raise EnvironmentProblem(
            f"Perturbations need {error.name}, which is not installed", "Run: pip install 'me-vlip[robust]'"
        ) from error
