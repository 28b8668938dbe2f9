from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.runs.journal import journals
from mevlip.settings import AnswerSettings, RunSettings
from tests.conftest import FakeModel, answer_folder, record

KEEPS_ANSWERS = {"input", "output", "explanations", "limit", "run_report", "time_limit", "max_failures"}
"""Settings that cannot change the answer to a question; every other one must be part of a run's identity."""

OTHER: dict[str, Any] = {
    "routing": "declared",
    "threshold": 0.9,
    "batch_tokens": 99,
    "constrain": False,
    "thinking": "16",
    "shard": "1/1",
}
"""Another value of each setting that may change answers."""


def test_every_setting_that_may_change_answers_is_part_of_a_runs_identity() -> None:
    settings = RunSettings(input=Path("in"), output=Path("out"))
    assert set(settings.identity) == set(RunSettings.model_fields) - KEEPS_ANSWERS == set(OTHER)
    for name, value in OTHER.items():
        assert settings.model_copy(update={name: value}).identity != settings.identity, name


@pytest.mark.model
@pytest.mark.parametrize("name", OTHER)
def test_a_journal_of_other_settings_is_not_used(
    write_questions: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    root = write_questions([record("One? A: x, B: y", image="a.png"), record("Other? A: x, B: y", image="a.png")])
    calls = iter(range(10))

    def stop(adapter: str, text: str) -> str:
        if next(calls):
            raise KeyboardInterrupt
        return "B"

    first = {"routing": "generalist", "batch_tokens": 1}
    with pytest.raises(KeyboardInterrupt):
        answer_folder(root, tmp_path / "out", FakeModel(stop), **first)
    assert journals(tmp_path / "out")
    report = answer_folder(root, tmp_path / "out", FakeModel(lambda *_: "A"), **{**first, name: OTHER[name]})
    assert report.resumed == 0
    rows = json.loads(report.predictions.read_bytes())
    assert [row["Answer"] for row in rows] == ["A", "A"]


@pytest.mark.parametrize("text", ["", "yes", "0", "-1", "8193", "1.5", "٣", "1" * 5000])
def test_thinking_is_on_off_or_a_number_of_tokens(text: str) -> None:
    assert [AnswerSettings(thinking=good).thinking for good in (None, "on", "off", "016")] == [None, "on", "off", "16"]
    with pytest.raises(ValueError, match="is on, off or a number of tokens from 1 to 8192"):
        AnswerSettings(thinking=text)
