"""Asking a predictor some of a folder's questions, each with the adapter of its declared task; engine and reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.flare.questions import InputFolder, Question
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings, PredictorSettings


def engine_and_reference(folder: Path) -> tuple[Predictor, Predictor]:
    """Two predictors of a checkpoint, both in float32."""
    made = []
    for reference in (False, True):
        model = VisionLanguageModel.load(
            open_checkpoint(folder), torch.device("cpu"), reference=reference, dtype=torch.float32
        )
        settings = PredictorSettings(checkpoint=str(folder), reference=reference)
        made.append(Predictor.find(settings, load_model=lambda *_, model=model: model))
    return made[0], made[1]


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
