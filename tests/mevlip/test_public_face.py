"""`import mevlip`: few names, all of them there, and nothing heavy until one is used."""

from __future__ import annotations

import json
import subprocess
import sys

import mevlip
from tests.conftest import HANG, ROOT


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after some code."""
    script = f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=ROOT / "submission", capture_output=True, text=True, timeout=HANG, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_it_imports_nothing_heavy() -> None:
    assert not imported_by("import mevlip") & {"torch", "transformers", "pydantic", "numpy", "PIL"}


def test_a_name_imports_its_home_and_no_model() -> None:
    found = imported_by("import mevlip; mevlip.Predictor, mevlip.Question, mevlip.run")
    assert "pydantic" in found
    assert not found & {"torch", "transformers", "numpy", "PIL"}


def test_it_has_few_names_and_each_is_there() -> None:
    assert len(mevlip.__all__) <= 15
    assert len(set(mevlip.__all__)) == len(mevlip.__all__)
    for name in mevlip.__all__:
        assert getattr(mevlip, name) is not None, name
    assert set(mevlip.__all__) <= set(dir(mevlip))
