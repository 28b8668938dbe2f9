"""Log lines on stderr, set up here and nowhere else."""

from __future__ import annotations

import logging
import sys
import warnings


def start() -> None:
    """Sends log lines to stderr, each with the program's name."""
    logging.basicConfig(level=logging.INFO, format="mevlip: %(message)s", stream=sys.stderr, force=True)
    warnings.simplefilter("ignore")  # the libraries' own; what matters is checked and raised


def only_warnings() -> None:
    """Leaves out everything but warnings and errors."""
    logging.getLogger().setLevel(logging.WARNING)
