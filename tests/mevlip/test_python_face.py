"""`Predictor` as a Python user meets it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

import mevlip
from mevlip.predictor import Loads
from mevlip.routing.router import TaskPrediction
from mevlip.tasks import TaskType
from tests.conftest import DEMO, FakeModel

PICTURE = Image.linear_gradient("L").convert("RGB")


class FakeRouter:
    """Takes every question for one task."""

    forwards = 0
    threshold = 0.5

    def __init__(self, task: TaskType, confidence: float = 0.9) -> None:
        self.predicted = TaskPrediction(task, confidence)

    def classify(self, questions: Iterable[str]) -> dict[str, TaskPrediction]:
        self.forwards += 1
        return dict.fromkeys(questions, self.predicted)


def fake(model: FakeModel, task: TaskType = TaskType.CLASSIFICATION) -> mevlip.Predictor:
    return mevlip.Predictor.load(DEMO, load_model=lambda *_: model, load_router=lambda *_: FakeRouter(task))


def test_router_and_model_are_replaceable_and_loaded_once() -> None:
    model = FakeModel(lambda *_: "right")
    predictor = fake(model)
    for _ in range(3):
        answer = predictor.ask("Which side? A: Left, B: Right", [PICTURE])
        assert (answer.text, answer.task, answer.adapter) == ("B", "classification", "classification")
        assert (answer.stage, answer.confidence, answer.probability) == ("tolerant", 0.9, 0.75)
    manifest = predictor.checkpoint.manifest
    hashed = {"hashed_files": len(manifest.files), "hashed_bytes": manifest.size}
    assert predictor.loads == Loads(verifications=1, **hashed, routers=1, models=1)


def test_images_are_paths_bytes_or_pictures(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    packed = io.BytesIO()
    PICTURE.convert("L").save(packed, "JPEG")
    model = FakeModel()
    images = [tmp_path / "a.png", str(tmp_path / "a.png"), packed.getvalue(), PICTURE.convert("P")]
    answer = fake(model).ask("Which? A: This, B: That", images)
    assert model.batches[0][2] == [4] and not answer.problems
    bad = fake(model).ask("Which? A: This, B: That", [b"not an image", PICTURE])
    assert bad.problems == ("image 1: the file is not a readable image",) and not bad.failed


def test_a_known_task_is_believed() -> None:
    model = FakeModel(lambda *_: "12 cells")
    answer = fake(model, TaskType.REPORT).ask("How many?", [PICTURE], task="counting")
    assert (answer.text, answer.adapter, answer.confidence) == ("12", "counting", 1.0)
    with pytest.raises(ValueError, match="segmentation"):
        fake(model).ask("Where?", [PICTURE], task="segmentation")


def test_questions_are_answered_together_and_come_back_in_order() -> None:
    model = FakeModel(lambda _, text: "B" if "long" in text else "A")
    texts = ["A very long question indeed, which? A: x, B: y", "Which? A: x, B: y", "Which long one? A: x, B: y"]
    questions = [mevlip.Question.given_as(text, [PICTURE]) for text in texts]
    answers = fake(model).answer(questions)
    assert [answer.text for answer in answers] == ["B", "A", "B"]
    assert len(model.batches) == 1, "one adapter, one batch"


def test_a_question_without_an_image_is_asked_by_its_text() -> None:
    model = FakeModel(lambda *_: "B")
    answer = fake(model).ask("Which? A: x, B: y")
    assert (answer.text, answer.failed) == ("B", False) and model.batches[0][2] == [0]
