"""A report in the words of the true one."""

from __future__ import annotations

from mevlip.answers.report import Report
from mevlip.tasks import TaskType
from mevlip_training.grpo.rewards.base import Reward, graded
from mevlip_validation.text_metrics import rouge_f1


def rouge(true: Report, said: Report) -> float:
    """F1 of the longest common subsequence of words (ROUGE-L), 0 to 1; 1 for the same text, in any script."""
    return 1.0 if said.text == true.text else rouge_f1(true.text, said.text)


REWARDS = (
    Reward(
        name="report",
        about="the words of the true report, in its order",
        formula="ROUGE-L: 2 LCS / (true + said words)",
        tasks=(TaskType.REPORT,),
        weight=4,
        compute=graded(TaskType.REPORT, rouge),
        packages=("rouge_score",),
    ),
)
