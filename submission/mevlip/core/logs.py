"""Log lines on stderr, set up here and nowhere else."""

from __future__ import annotations

import logging
import sys
import warnings

from mevlip.core.text import visible


class _OneLine(logging.Formatter):
    """Writes each message as one line that a terminal shows as it is; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)


def start() -> None:
    """Sends log lines to stderr, each with the program's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("mevlip: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    warnings.simplefilter("ignore")  # the libraries' own; what matters is checked and raised


def only_warnings() -> None:
    """Leaves out everything but warnings and errors."""
    logging.getLogger().setLevel(logging.WARNING)
