"""Asking a predictor some of a folder's questions, each with the adapter of its declared task."""

from __future__ import annotations

from collections.abc import Sequence

from mevlip.flare.questions import InputFolder, Question
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer, Counters
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings


def ask(
    predictor: Predictor, folder: InputFolder, questions: Sequence[Question], **settings: object
) -> tuple[list[Answer], Counters]:
    """Answers in the order of the questions, and what they cost."""
    counters, chosen = Counters(), AnswerSettings(routing="declared", **settings)  # type: ignore[arg-type]
    with ImageStore(folder.root) as store:
        routed = predictor.route(questions, chosen, counters)
        with predictor.engine(routed, chosen, store.load, counters) as engine:
            found = {answer.position: answer for answers in engine.run() for answer in answers}
    return [found[question.position] for question in questions], counters
