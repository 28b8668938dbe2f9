from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import HANG, ROOT


@pytest.mark.model
@pytest.mark.slow
def test_a_short_run_of_every_fault_loses_no_answer() -> None:
    """One data set, in a process of its own, whose forks have no threads or patches of the tests'."""
    code = (
        "from benchmarks.faults import bench, __main__ as faults\n"
        "bench.DATASETS = bench.DATASETS[1:2]\n"
        "faults.main(['--kills', '5'])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[2:]
    assert len(rows) == 9 and all(row for row in rows)
    assert "kill -9 at any moment loses no answer" in done.stdout
