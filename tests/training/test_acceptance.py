"""What a trained router has to reach before it is written."""

from __future__ import annotations

import numpy as np
import pytest

from mevlip.core.errors import TrainingFailed
from mevlip.tasks import TASKS, TaskType
from mevlip_training.acceptance import check_recall
from mevlip_training.calibration import calibrate
from mevlip_training.router import DEFAULT, PAPER


def test_one_task_below_the_floor_is_enough_to_refuse() -> None:
    targets = [TaskType.CLASSIFICATION] * 96 + [TaskType.COUNTING] * 4
    named = [*targets[:96], TaskType.COUNTING, TaskType.COUNTING, TaskType.COUNTING, TaskType.REPORT]
    logits = np.array([[9.0 * (task is one) for task in TASKS] for one in named])
    check_recall(calibrate(logits, targets), set(named), 2, DEFAULT)
    logits[96] = logits[0]
    figures = calibrate(logits, targets)
    assert figures.accuracy == 0.98 and figures.macro_recall == 0.75
    with pytest.raises(TrainingFailed, match=r"below 0.75 in: .*0\.50 \(2 of 4\); it was not written.*--steps"):
        check_recall(figures, set(named), 2, DEFAULT)
    with pytest.raises(TrainingFailed, match="--focal-alpha 1"):
        check_recall(figures, set(named), 2, PAPER)


def test_tasks_that_none_is_held_out_of_still_show_a_collapse() -> None:
    logits = np.array([[9.0 * (task is TaskType.COUNTING) for task in TASKS]] * 3)
    figures = calibrate(logits, [TaskType.COUNTING] * 3)
    check_recall(figures, {TaskType.COUNTING}, 1, DEFAULT)
    check_recall(figures, {TaskType.COUNTING, TaskType.REPORT}, 2, DEFAULT)
    with pytest.raises(TrainingFailed, match="one task whatever"):
        check_recall(figures, {TaskType.COUNTING}, 2, DEFAULT)
