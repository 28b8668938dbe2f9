"""Switching the model hub off, and the libraries' chatter. Must run before transformers is imported."""

from __future__ import annotations

import logging
import os

_CHATTY = ("bitsandbytes", "transformers", "httpx", "urllib3", "PIL")


def go_offline() -> None:
    """Forbids hub access and telemetry for this process, and keeps the libraries' own remarks out of its log."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": os.environ.get("TRANSFORMERS_VERBOSITY", "error"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
