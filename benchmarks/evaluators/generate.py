"""Small files of true and predicted answers, drawn at random: legal answers, near-legal ones, and files out of step."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.evaluators.near import draw_near
from benchmarks.evaluators.targets import TARGETS, TIED

Rng = random.Random
Record = dict[str, Any]

MIXED = "several tasks"


@dataclass(frozen=True)
class Case:
    """One small file.

    Attributes:
        task: Its task, `MIXED` where it has rows of several.
        truth: Folder and record of each true answer, in order.
        predictions: Records of the predictions file.
    """

    task: str
    truth: tuple[tuple[str, Record], ...]
    predictions: tuple[Record, ...]

    @property
    def size(self) -> int:
        """Its length as text, by which shrinking proceeds."""
        return len(json.dumps([self.truth, self.predictions]))


def draw(seed: int, number: int) -> Case:
    """Draws a file; equal seeds and numbers give equal files."""
    rng = Rng(f"{seed}/{number}")
    tasks = rng.sample(list(SPELLINGS), rng.randint(2, 3)) if rng.random() < 0.1 else [rng.choice(list(SPELLINGS))]
    # Few targets make predictions that are right for another row common.
    odd_truth = rng.random() < 0.15
    truth, predictions = [], []
    for place in range(rng.choice((1, 1, 2, 3, 4, 5, 6))):
        task = rng.choice(tasks)
        record = _record(task, place, rng)
        target = TARGETS[task](rng)
        answer = rng.choice(
            (
                lambda target=target: target,
                lambda target=target, task=task: draw_near(task, target, rng),
                lambda target=target, task=task: draw_near(task, target, rng),
                lambda task=task: draw_near(task, TARGETS[task](rng), rng),
            )
        )()
        if task in TIED and rng.random() < 0.08:
            target, answer = TIED[task](rng)
        if odd_truth and rng.random() < 0.4:
            target = draw_near(task, target, rng)
        truth.append((rng.choice(("one", "two")), {**record, "Answer": target}))
        predictions.append({**record, "Answer": answer})
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        rng.choice(_DISORDERS)(truth, predictions, rng)
    name = tasks[0] if len(tasks) == 1 else MIXED
    return Case(name, tuple(truth), tuple(predictions))


SPELLINGS = {
    "classification": ("Classification", "classification"),
    "multi-label classification": ("multi-label classification", "Multi-label Classification"),
    "detection": ("Detection", "detection"),
    "instance detection": ("instance_detection", "Instance_Detection"),
    "counting": ("counting", "Counting"),
    "regression": ("regression", "Regression"),
}
"""The tasks, in spellings that both evaluators know."""


def _record(task: str, place: int, rng: Rng) -> Record:
    image = rng.choice((f"{place}.png", f"{place}.png", "a.png", ["a.png", "b.png"], [f"{place}.png"]))
    question = rng.choice((f"What is it ({place})?", f"What is it ({place})?", "What is it?"))
    spelling = rng.choice(SPELLINGS[task])
    return {"TaskType": spelling, "Modality": "X-ray", "ImageName": image, "Question": question, "Split": "val"}


# Files out of step

Truth = list[tuple[str, Record]]
Predictions = list[Record]


def _miss(_truth: Truth, predictions: Predictions, rng: Rng) -> None:
    if predictions:
        del predictions[rng.randrange(len(predictions))]


def _miss_all(_truth: Truth, predictions: Predictions, _rng: Rng) -> None:
    predictions.clear()


def _repeat_prediction(_truth: Truth, predictions: Predictions, rng: Rng) -> None:
    if predictions:
        answer = rng.choice(predictions)["Answer"]
        predictions.insert(rng.randint(0, len(predictions)), {**rng.choice(predictions), "Answer": answer})


def _surplus(_truth: Truth, predictions: Predictions, rng: Rng) -> None:
    if predictions:
        predictions.insert(rng.randint(0, len(predictions)), {**rng.choice(predictions), "Question": "Another?"})


def _repeat_truth(truth: Truth, _predictions: Predictions, rng: Rng) -> None:
    folder, record = rng.choice(truth)
    other = rng.choice(truth)[1]
    if rng.random() < 0.5:
        record = {**record, "Answer": other["Answer"], "TaskType": other["TaskType"]}
    truth.insert(rng.randint(0, len(truth)), (rng.choice((folder, "one", "two")), record))


def _repeat_both(truth: Truth, predictions: Predictions, rng: Rng) -> None:
    _repeat_truth(truth, predictions, rng)
    _repeat_prediction(truth, predictions, rng)


def _empty_truth(truth: Truth, _predictions: Predictions, rng: Rng) -> None:
    place = rng.randrange(len(truth))
    folder, record = truth[place]
    truth[place] = folder, {**record, "Answer": rng.choice(("", " ", None, [], {}, "[]", "{}", "null"))}


def _empty_prediction(_truth: Truth, predictions: Predictions, rng: Rng) -> None:
    if predictions:
        place = rng.randrange(len(predictions))
        predictions[place] = {**predictions[place], "Answer": rng.choice(("", " ", None, [], {}, "[]", "{}", "null"))}


def _shuffle(_truth: Truth, predictions: Predictions, rng: Rng) -> None:
    rng.shuffle(predictions)


_DISORDERS: tuple[Callable[[Truth, Predictions, Rng], None], ...] = (
    _miss,
    _miss,
    _miss_all,
    _repeat_prediction,
    _surplus,
    _repeat_truth,
    _repeat_both,
    _empty_truth,
    _empty_prediction,
    _empty_prediction,
    _shuffle,
)
