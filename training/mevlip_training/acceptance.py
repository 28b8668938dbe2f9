"""Whether a trained router may be written: by the recall of each task on wordings that training never saw."""

from __future__ import annotations

from collections.abc import Collection

from mevlip.core.errors import TrainingFailed
from mevlip.tasks import TASKS, TaskType
from mevlip_training.calibration import Calibration
from mevlip_training.router import RouterTraining

LEAST_RECALL = 0.75
"""Of each task's held-out questions at least this share must be recognized: the others go to another task's adapter.

Below it, one question in four is answered in a form that its evaluator does not expect. Accuracy alone hides that
where most questions are of one task.
"""


def check_recall(calibration: Calibration, answers: Collection[TaskType], asked: int, plan: RouterTraining) -> None:
    """Refuses a router that does not tell the tasks apart.

    Args:
        calibration: Its figures on held-out wordings.
        answers: The tasks that it named for questions of all tasks, held out or not.
        asked: Number of tasks that these questions are of.
        plan: How it was trained, for the remedy.

    Raises:
        TrainingFailed: It names one task whatever is asked, or a measured task's recall is below `LEAST_RECALL`.
    """
    if asked > 1 and len(set(answers)) == 1:
        cause = f"The router names one task whatever it is asked: {TASKS[next(iter(answers))].title}"
    else:
        poor = {task: counts for task, counts in calibration.by_task.items() if counts[0] < LEAST_RECALL * counts[1]}
        if not poor:
            return
        told = ", ".join(
            f"{TASKS[task].title} {right / of:.2f} ({right} of {of})" for task, (right, of) in poor.items()
        )
        cause = f"The router's recall on held-out wordings is below {LEAST_RECALL} in: {told}"
    if plan.focal_alpha == 1:
        remedy = "With --focal-alpha 1 no label is ever pushed down: leave it at -1."
    else:
        remedy = (
            "Train for more --steps, with a higher --learning-rate and --head-learning-rate for a small encoder, "
            "or on more wordings of these tasks."
        )
    raise TrainingFailed(f"{cause}; it was not written", remedy)
