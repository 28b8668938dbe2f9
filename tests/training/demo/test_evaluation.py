from __future__ import annotations

import pytest

from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.evaluation import evaluate
from mevlip_validation.ablation import SYSTEMS, Ablation
from tests.conftest import DEMO

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    """Each system's score by task, on a few new pictures and held-out wordings."""
    return evaluate(DEMO, tmp_path_factory.mktemp("evaluation"), per_dataset=12, systems=SYSTEMS[:5])


def gains(ablation: Ablation, first: str, second: str) -> dict[TaskType, tuple[float, str]]:
    """By how much the second system is better, and whether that is more than chance, under the macro protocol."""
    found = ablation.comparisons[first, second]
    return {one.task: (one.gain.value, one.verdict) for one in found if one.scoring.protocol == "macro"}


def main_scores(ablation: Ablation, system: str) -> dict[TaskType, float]:
    return {
        one.task: one.estimate.value
        for one in ablation.scores[system]
        if one.scoring.protocol == "macro" and one.is_main
    }


def test_every_task_is_measured_for_every_system(ablation: Ablation) -> None:
    assert all(set(main_scores(ablation, name)) == set(TASKS) for name in ablation.scores)


def test_the_generalist_beats_the_base(ablation: Ablation) -> None:
    found = gains(ablation, "base", "generalist")
    assert all(verdict != "lose" for _, verdict in found.values()), found
    # Held to the grammar the base writes its boxes legally too, and it has learned longest to find things.
    boxes = (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)
    assert all(gain > 0 for task, (gain, _) in found.items() if task not in boxes), found


def test_routed_adapters_lose_nowhere_and_win_somewhere(ablation: Ablation) -> None:
    verdicts = [verdict for _, verdict in gains(ablation, "generalist", "TS by router").values()]
    assert "lose" not in verdicts and verdicts.count("win") >= 2, verdicts


@pytest.mark.parametrize("system", ["TS by router", "TS declared"])
@pytest.mark.parametrize("task", TaskType)
def test_what_was_trained_beats_the_base(ablation: Ablation, system: str, task: TaskType) -> None:
    sign = 1 if TASKS[task].direction == "higher" else -1
    assert sign * main_scores(ablation, system)[task] > sign * main_scores(ablation, "base")[task]


def test_the_answers_come_from_the_pictures(ablation: Ablation) -> None:
    assert {verdict for _, verdict in gains(ablation, "blank images", "TS by router").values()} == {"win"}
