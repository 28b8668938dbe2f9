from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
import termios

import pytest

from mevlip.core.progress import Progress
from tests.conftest import HANG, ROOT


def test_without_a_terminal_ten_lines_at_most(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("answering", 1000, "questions") as progress:
        for _ in range(250):
            progress.advance(4)
    assert len(caplog.messages) == 10
    assert caplog.messages[-1] == "answering: 1000 of 1000 questions"


def test_what_is_finished_by_now_counts_once_and_never_goes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("training", 10, "steps") as progress:
        for done in (4, 4, 2, 10):
            progress.reach(done)
    assert caplog.messages == ["training: 4 of 10 steps", "training: 10 of 10 steps"]


def test_quiet_is_quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO)
    with Progress("answering", 2, "questions", quiet=True) as progress:
        progress.advance(2)
    assert not caplog.messages and capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar() -> None:
    code = (
        "from mevlip.core.progress import Progress\n"
        "with Progress('answering', 2, 'questions') as progress: progress.advance(); progress.advance()"
    )
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=terminal, timeout=HANG, check=True)
    shown = os.read(controller, 100_000).decode()
    os.close(terminal)
    os.close(controller)
    assert "answering" in shown and "%|" in shown
