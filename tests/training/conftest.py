"""A `llamafactory-cli` for tests of everything around the training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints.routes import Route
from mevlip.tasks import TaskType
from mevlip_training.runs import read_yaml
from tests.conftest import ROOT

COUNTING = read_yaml(ROOT / "llamafactory_configs" / "counting.yaml")


def route(**changes: Any) -> Route:
    fields = {
        "adapter": "counting",
        "base_model": COUNTING["model_name_or_path"],
        "base_revision": COUNTING["model_revision"],
        "max_new_tokens": {TaskType.COUNTING: 8},
    }
    return Route.model_validate({**fields, **changes})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A prepared data folder with five counting rows."""
    folder = tmp_path / "data"
    (folder / "routes" / "counting").mkdir(parents=True)
    (folder / "routes" / "counting" / "route.json").write_text(route().model_dump_json(), "utf-8")
    (folder / "counting.jsonl").write_text('{"id": "a"}\n' * 5, "utf-8")
    return folder


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
