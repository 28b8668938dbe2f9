"""Trainings that are killed, started twice, or find what an earlier one left by half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.numpy import save_file

from mevlip.core.locks import locked
from mevlip_training.resuming import set_aside_incomplete
from tests.conftest import ROOT

HANG = 30


def step_folder(output: Path, step: int) -> Path:
    """What the Trainer leaves of a saved step."""
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"a": np.ones(4, np.float32)}, folder / "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save({"x": torch.ones(3)}, folder / name)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}), "utf-8")
    return folder


def names(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir())


def test_whole_saved_steps_stay(tmp_path: Path) -> None:
    for step in (2, 10):
        step_folder(tmp_path, step)
    ranks = step_folder(tmp_path, 12)  # four devices, with DeepSpeed
    (ranks / "rng_state.pth").rename(ranks / "rng_state_0.pth")
    (ranks / "optimizer.pt").unlink()
    (ranks / "global_step12").mkdir()
    before = names(tmp_path)
    set_aside_incomplete(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
def test_a_saved_step_written_by_half_is_set_aside_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    step_folder(tmp_path, 2)
    path = step_folder(tmp_path, 4) / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    set_aside_incomplete(tmp_path)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4.incomplete"]
    assert f"not written to its end ({name})" in caplog.text
    step_folder(tmp_path, 4)
    (tmp_path / "checkpoint-4" / name).unlink()
    set_aside_incomplete(tmp_path)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4.incomplete", "checkpoint-4.incomplete-2"]


def test_weights_of_a_run_that_was_killed_at_its_end_do_not_block_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    set_aside_incomplete(tmp_path)
    assert names(tmp_path) == ["adapter_model.safetensors.incomplete"]


LONG_TRAINING = """
import pathlib, subprocess, sys, time, yaml
out = pathlib.Path(yaml.safe_load(open(sys.argv[2]))["output_dir"])
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=False)
(out / "pids.draft").write_text(f"{__import__('os').getpid()} {worker.pid}")
(out / "pids.draft").rename(out / "pids")
time.sleep(600)
"""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition is met before long."""
    end = time.monotonic() + HANG
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def start(data: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts `mevlip train adapters` with a LLaMA-Factory that has a process of its own and never ends."""
    script = tmp_path / "bin" / "llamafactory-cli"
    script.parent.mkdir()
    (tmp_path / "long.py").write_text(LONG_TRAINING, "utf-8")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "long.py"}" "$@"\n', "utf-8")
    script.chmod(0o755)
    program = (
        "import pathlib, mevlip_training.llamafactory as module; "
        f"module.find_command = lambda: pathlib.Path({str(script)!r}); "
        "from mevlip.cli.main import main; main()"
    )
    arguments = ["train", "adapters", data, "--task", "counting", "--config-dir", ROOT / "llamafactory_configs"]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments), "--out", str(tmp_path / "runs")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_training_ends_with_its_command_and_the_folder_is_free(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "runs/counting"
    first = start()
    try:
        assert eventually((output / "pids").is_file)
        pids = [int(pid) for pid in (output / "pids").read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
        if number == signal.SIGKILL:  # said once, a start takes seconds
            second = start()
            assert second.wait(HANG) == 3
            assert second.stderr
            assert f"Another run is writing into {output}" in second.stderr.read().splitlines()[-1]
            assert all(psutil.pid_exists(pid) for pid in pids)
    finally:
        os.kill(first.pid, number)
        first.wait(HANG)
    assert eventually(lambda: not any(_lives(pid) for pid in pids))
    with locked(output, ""):
        pass


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)  # a container may have nobody to reap it
    except psutil.NoSuchProcess:
        return False
