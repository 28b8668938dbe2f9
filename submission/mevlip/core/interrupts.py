"""Stopping on Ctrl-C and SIGTERM, even where a library swallows the exception that they raise."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_received: list[int] = []


def install() -> None:
    """Lets both signals raise KeyboardInterrupt; a container, stopped by SIGTERM, deserves the same orderly end."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _handle)


def check() -> None:
    """Raises KeyboardInterrupt if a signal has come, for places between two pieces of work."""
    if _received:
        raise KeyboardInterrupt


def _handle(number: int, _frame: FrameType | None) -> NoReturn:
    _received.append(number)
    raise KeyboardInterrupt
