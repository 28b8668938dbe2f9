from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import grpo
from benchmarks.grpo import OVERLAY, RUNS, STEPS, VARIANTS, Grpo, rewarded
from mevlip.tasks import TaskType
from mevlip_training.grpo.log import LOG_NAME, append
from mevlip_training.grpo.settings import CONFIG, check_settings
from mevlip_training.runs import read_yaml
from tests.conftest import ROOT
from tests.training.grpo.series import group, step

TASKS = (TaskType.COUNTING, TaskType.DETECTION)


def test_every_run_is_of_a_variant() -> None:
    assert {variant for variant, _, _ in RUNS} == set(VARIANTS)


def test_the_demos_settings_are_the_papers_but_for_size_rate_and_device() -> None:
    paper, demo = read_yaml(CONFIG), read_yaml(ROOT / OVERLAY)
    for variant in VARIANTS.values():
        check_settings({**paper, **demo, **variant}, OVERLAY)
    settings = check_settings({**paper, **demo}, OVERLAY)
    assert settings.questions == 8 and settings.num_generations == paper["num_generations"]
    assert settings.beta == paper["beta"] and settings.temperature == paper["temperature"]


def test_runs_are_shown_by_the_mean_reward_of_their_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "RUNS", (("free", 1, TASKS),))
    for task in TASKS:
        log = tmp_path / "runs" / "free-seed-1" / task / LOG_NAME
        log.parent.mkdir(parents=True)
        for number in range(1, STEPS + 1):
            append(log, step(number, [group([number / STEPS, number / STEPS])], kl=0.25))
    rows = list(rewarded(Grpo(tmp_path)))
    assert [row[2] for row in rows] == [*TASKS]
    assert [float(mean) for mean in rows[0][3:8]] == pytest.approx([0.1025, 0.3025, 0.5025, 0.7025, 0.9025], abs=1e-3)
    assert rows[0][8:] == ("0.250", "5")
