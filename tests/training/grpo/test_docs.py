"""The page about GRPO says what the code does."""

from __future__ import annotations

import re

import pytest

from mevlip.tasks import TASKS, Task
from mevlip_training.grpo.monitor import Limits
from mevlip_training.grpo.rewards import rewards_of
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "grpo.md").read_text("utf-8")
LINES = PAGE.replace("\\|", "|").splitlines()


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.type.value)
def test_the_page_has_every_reward_with_its_formula_and_weight(task: Task) -> None:
    for reward in rewards_of(task.type):
        title = "all" if reward.name == "format" else task.title.lower()
        start = f"| {title} | `{reward.name}` | {reward.formula}"
        assert any(line.startswith(start) and line.endswith(f"| {reward.weight:g} |") for line in LINES), start


def test_the_page_has_every_limit_with_its_default() -> None:
    defaults = {name: f"{value:g}" for name, value in Limits().model_dump().items()}
    assert dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)) == defaults
