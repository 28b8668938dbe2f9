"""Progress on stderr: a bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

_STEPS = 10
logger = logging.getLogger(__name__)


class Progress:
    """Counts finished units of a known total.

    Args:
        label: What is being done.
        total: How many units there are.
        unit: What one is called; `B` is shown in binary multiples.
        quiet: Whether to show nothing.
    """

    def __init__(self, label: str, total: int, unit: str, quiet: bool = False) -> None:
        terminal = sys.stderr.isatty() and not quiet
        self._label, self._total, self._unit = label, total, unit
        self._bar = tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "B", leave=False) if terminal else None
        self._lines = not terminal and not quiet
        self._done = 0

    def advance(self, count: int = 1) -> None:
        """Adds finished units."""
        before, self._done = self._done, self._done + count
        if self._bar is not None:
            self._bar.update(count)
        elif self._lines and self._unit != "B" and before * _STEPS // self._total < self._done * _STEPS // self._total:
            logger.info("%s: %d of %d %s", self._label, self._done, self._total, self._unit)

    def reach(self, count: int) -> None:
        """Says how many units are finished by now; fewer than before change nothing."""
        if count > self._done:
            self.advance(count - self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
