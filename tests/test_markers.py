"""Tests that load a real model are marked, so that `make test-fast` can leave them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mevlip.inference.model import VisionLanguageModel
from mevlip.routing.router import Router
from tests.conftest import DEMO, LOADING_FIXTURES, answer_folder, record, run_mevlip
from tests.mevlip.test_predictor import Write

refused = pytest.raises(pytest.fail.Exception, match=r"test_markers\.py::.* loads a real model: .*pytest\.mark\.model")


def test_an_unmarked_test_cannot_load_the_model() -> None:
    with refused:
        VisionLanguageModel.load(None, None)  # type: ignore[arg-type]


def test_an_unmarked_test_cannot_load_the_router() -> None:
    with refused:
        Router.load(DEMO / "router")


def test_an_unmarked_test_cannot_load_them_through_the_predictor(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record()])
    for routing in ("router", "declared"):
        with refused:
            answer_folder(root, tmp_path / routing, routing=routing)


def test_an_unmarked_test_cannot_have_a_command_load_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest.sys.executable", "/bin/true")  # ends well
    assert run_mevlip("predictions", "show").returncode == 0
    for command in ("predict", "ask"):
        with refused:
            run_mevlip(command)
        assert run_mevlip(command, "--help").returncode == 0


@pytest.mark.model
def test_a_marked_test_can_load_them() -> None:
    assert Router.load(DEMO / "router").settings.labels


def test_tests_with_a_fixture_that_loads_a_model_are_marked(request: pytest.FixtureRequest) -> None:
    users = [item for item in request.session.items if LOADING_FIXTURES & set(getattr(item, "fixturenames", ()))]
    assert [item.nodeid for item in users if item.get_closest_marker("model") is None] == []
