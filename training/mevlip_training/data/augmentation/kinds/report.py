"""Reports and captions, asked for in other words."""

from __future__ import annotations

import random

from mevlip.answers.report import Report
from mevlip_training.data.augmentation.base import DataSet, Open, Original, kind

QUESTIONS = (
    "Write down what is seen here, as a radiologist's report would.",
    "Put the findings of this examination into words.",
    "What would the written report of these pictures say?",
    "Summarize in a few sentences what the examination shows.",
)
"""For the only report of its pictures, which needs no distinguishing."""

FRAMES = (
    "For the written report: {question}",
    "{question} Answer as the report would.",
    "Dictate this part of the report. {question}",
)
"""Around a question about one part of what is seen."""


@kind("report", "a report or caption, asked for in other words")
def report(row: Original, dataset: DataSet, draw: random.Random) -> Open | None:
    """Asks for a row's report by one of a few questions; by its own in a frame where its pictures have several."""
    if row.answer_type is not Report:
        return None
    frame = draw.choice(QUESTIONS if dataset.is_alone(row) else FRAMES)
    text = frame.format(question=row.spec.line) if "{question}" in frame else frame
    return Open(row.example.task, text, row.example.answer, text)
