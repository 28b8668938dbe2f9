"""Standard streams: whether a closed terminal, a broken pipe or a full device decides what becomes of a run."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class _Expendable(io.TextIOWrapper):
    """Remarks: where they cannot be written they are dropped, and the work goes on."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            _discard(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _discard(self)


def secure() -> None:
    """Opens closed standard streams onto nothing, and makes errors of stderr harmless.

    A closed descriptor would be given to the next file that is opened, and remarks would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None or _descriptor(sys.stderr) == 2:
        binary = os.fdopen(2, "wb", closefd=False)
        sys.stderr = _Expendable(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a record may hold what the terminal cannot show


def finish() -> None:
    """Writes out what waits for stdout, where a command's result may stand.

    Raises:
        BrokenPipeError: Its reader has ended.
        OSError: It cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError:
        _discard(sys.stdout)
        raise


def drop_output() -> None:
    """Drops what waits for stdout, so that Python does not complain about it at its end."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    """Sends a stream, and what waits in its buffers, to nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:  # a test's stand-in
        return None
