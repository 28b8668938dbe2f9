from __future__ import annotations

from pathlib import Path

import pytest

from mevlip_release.archive import TEAM
from tests.conftest import DEMO, run_mevlip

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.mark.parametrize("command", [["build", "--checkpoint", DEMO], ["test", "--input", DEMO], ["show"]])
def test_without_an_engine_the_status_is_its_own(command: list[str | Path]) -> None:
    done = run_mevlip("image", *command, env=NOWHERE)
    assert done.returncode == 7, done.stderr
    assert "No container engine answers" in done.stderr and "DOCKER_HOST" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_is_looked_at_before_the_engine(tmp_path: Path) -> None:
    done = run_mevlip("image", "build", "--checkpoint", tmp_path, env=NOWHERE)
    assert done.returncode == 3 and "No checkpoint" in done.stderr


@pytest.mark.parametrize("name", ["team", "team-1.x_y", "7"])
def test_names_of_teams(name: str) -> None:
    assert TEAM.fullmatch(name)


@pytest.mark.parametrize("name", ["Team", "a/b", "", "-a", "a:latest", "a b"])
def test_names_that_no_engine_takes(name: str) -> None:
    assert not TEAM.fullmatch(name)
