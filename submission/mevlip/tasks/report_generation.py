"""Writing a report."""

from mevlip.answers.report import Report
from mevlip.tasks.base import Task, TaskType

TASK = Task(
    type=TaskType.REPORT,
    title="Report generation",
    spellings=("report generation", "report"),
    router_label="write a report",
    answer=Report,
    fallback="No abnormality is seen.",
    # 150 words: the references take 1.7 tokens a word, the densest of them 2.3.
    max_new_tokens=384,
    metric="GREEN (2025), CRIMSON (2026)",
    direction="higher",
)
