from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import grpo
from benchmarks.grpo import OVERLAY, SEEDS, STEPS, TASKS, Grpo, rewarded
from mevlip_training.grpo.log import LOG_NAME, append
from mevlip_training.grpo.settings import CONFIG, check_settings
from mevlip_training.runs import read_yaml
from tests.conftest import ROOT
from tests.training.grpo.series import group, step


def test_the_demos_settings_are_the_papers_but_for_size_rate_and_device() -> None:
    paper, demo = read_yaml(CONFIG), read_yaml(ROOT / OVERLAY)
    settings = check_settings({**paper, **demo}, OVERLAY)
    assert settings.questions == 8 and settings.num_generations == paper["num_generations"]
    assert settings.beta == paper["beta"] and settings.temperature == paper["temperature"]


def test_runs_are_shown_by_the_mean_reward_of_their_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "SEEDS", SEEDS[:1])
    for task in TASKS:
        (tmp_path / "runs" / "seed-1" / task).mkdir(parents=True)
        for number in range(1, STEPS + 1):
            log = tmp_path / "runs" / "seed-1" / task / LOG_NAME
            append(log, step(number, [group([number / STEPS, number / STEPS])], kl=0.25))
    rows = list(rewarded(Grpo(tmp_path)))
    assert [row[1] for row in rows] == [*TASKS]
    assert rows[0][2:] == ("0.102", "0.302", "0.502", "0.703", "0.903", "0.250", "5")
