"""The demo's router, measured on the committed checkpoint; `mevlip_training.demo.router` builds it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

import mevlip_training.demo.router as demo
from mevlip.core.errors import TrainingFailed
from mevlip.flare.questions import read_input_folder
from mevlip.routing.consistency import decide_task
from mevlip.routing.router import Router
from mevlip.tasks import TaskType, parse_task_type
from mevlip_training.calibration import CALIBRATION_NAME
from mevlip_training.demo.pairs import held_out_pairs
from mevlip_training.demo.wordings import OptionStyle, ask
from mevlip_training.off_topic import held_out_off_topic
from tests.conftest import DEMO, EXAMPLES, FLARE_DATA, needs_flare_data

FOLDER = DEMO / "router"


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load(FOLDER)


def measured(router: Router, questions: list[tuple[str, TaskType | None]]) -> tuple[float, float]:
    """Shares of the questions whose task is right, and that are kept for its adapter."""
    verdicts = router.classify(text for text, _ in questions)
    right = sum(verdicts[text].task is task for text, task in questions)
    kept = sum(verdicts[text].confidence >= router.settings.threshold for text, _ in questions)
    return right / len(questions), kept / len(questions)


def test_unseen_wordings_are_recognized_and_kept(router: Router) -> None:
    right, kept = measured(router, [*held_out_pairs()])
    assert right >= 0.99
    assert kept >= 0.95


def test_the_examples_questions_are_kept(router: Router) -> None:
    right, kept = measured(router, [(q.text, q.declared) for q in read_input_folder(EXAMPLES).questions])
    assert right >= 0.98
    assert kept >= 0.96, "all but two of 54"


def test_off_topic_texts_go_to_the_generalist(router: Router) -> None:
    _, kept = measured(router, [(text, None) for text in held_out_off_topic()])
    assert kept <= 0.05


def test_the_calibration_is_the_one_in_use(router: Router) -> None:
    figures = json.loads((FOLDER / CALIBRATION_NAME).read_text())
    assert router.settings.threshold == figures["threshold"]
    assert router.settings.temperature == pytest.approx(figures["temperature"])
    assert figures["off_topic"] == len(held_out_off_topic())


@needs_flare_data
def test_the_challenges_questions_are_recognized_and_mostly_kept(router: Router) -> None:
    rows = [json.loads(line) for line in (FLARE_DATA / "questions_with_answers.jsonl").open()]
    questions = [(" ".join(row["Question"].split()), parse_task_type(row["TaskType"])) for row in rows]
    questions += [(q.text, q.declared) for q in read_input_folder(FLARE_DATA / "flare_inputs").questions]
    for part in (questions, sorted(set(questions), key=str)):
        right, kept = measured(router, part)
        assert right >= 0.99
        assert kept >= 0.90  # the rest is put to the generalist: the demo never saw a real question


ARCHES = (
    "Which Kennedy class describes this partially edentulous {arch}? {options}",
    "Classify the missing teeth of the {arch} in this panoramic film by Kennedy. {options}",
    "How would Kennedy have classified the edentulous spaces of the {arch}? {options}",
    "The {arch} has lost several teeth. Assign its Kennedy class. {options}",
    "Looking at the saddles of the {arch}, what is the Kennedy classification? {options}",
    "Several teeth are missing in the {arch}; choose the Kennedy class that applies. {options}",
    "Question: Which of the four Kennedy classes fits the {arch}? Options: {options}",
)
"""They name several teeth and spaces, as multi-label questions do, and numbers, as counting and regression do."""
CLASSES = ("Class I", "Class II", "Class III", "Class IV")
EXPLAINED = (
    "Kennedy I (bilateral free end)", "Kennedy II (unilateral free end)", "Kennedy III (bounded saddle)",
    "Kennedy IV (anterior, across the midline)",
)  # fmt: skip
STYLES: tuple[tuple[OptionStyle, str], ...] = (("A:", ", "), ("A)", " "), ("A.", "; "))
KENNEDY = [
    ask(text.format(arch=arch, options="").strip(), options, style, separator)
    for text in ARCHES
    for arch in ("upper jaw", "lower jaw", "maxilla", "mandible")
    for options in (CLASSES, EXPLAINED, (*CLASSES, "Class I modification 2"), ("1", "2", "3", "4"))
    for style, separator in STYLES
]


def test_lettered_kennedy_classes_are_one_choice(router: Router) -> None:
    verdicts = router.classify(KENNEDY)
    right = sum(decide_task(verdicts[text].task, text) is TaskType.CLASSIFICATION for text in KENNEDY)
    assert right == len(KENNEDY) == 336, "the predictor's answer: a question's form comes before the router"
    alone = sum(verdicts[text].task is TaskType.CLASSIFICATION for text in KENNEDY)
    assert alone / len(KENNEDY) >= 0.99


@pytest.mark.model
def test_a_router_that_did_not_learn_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "PAIRS", 256)
    monkeypatch.setattr(demo, "TRAINING", replace(demo.TRAINING, steps=10))
    with caplog.at_level(logging.INFO), pytest.raises(TrainingFailed, match="it was not written"):
        demo.build_router(tmp_path / "router")
    assert "off-topic" in caplog.text
    assert not (tmp_path / "router").exists()
