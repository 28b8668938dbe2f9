from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.archive import TEAM
from mevlip_release.cli import image
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


@pytest.mark.parametrize("command", [["verify", "."], ["diff", ".", "."], ["save", "team"]])
def test_a_missing_extra_is_named(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packageurl", None)
    done = CliRunner().invoke(image, command)
    assert isinstance(done.exception, EnvironmentProblem)
    assert "packageurl is not installed. Run: pip install 'me-vlip[image]'" in str(done.exception)
