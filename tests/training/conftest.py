"""A `llamafactory-cli` for tests of everything around the training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def fake_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `llamafactory-cli` that leaves behind what the real one does."""
    script = tmp_path / "bin" / "llamafactory-cli"
    script.parent.mkdir()
    stand_in = Path(__file__).with_name("fake_llamafactory.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n', "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("mevlip_training.llamafactory.find_command", lambda: script)
    monkeypatch.setattr("mevlip_training.llamafactory._POLL_SECONDS", 0.1)
    return script
