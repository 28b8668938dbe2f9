"""What the demo's base model learns: to see, and to say it in plain words rather than in the challenge's grammar."""

from __future__ import annotations

import json
import random

from submission.answers import ANSWER_CLASSES, Form
from submission.answers.boxes import Boxes, InstanceBoxes
from submission.answers.choice import Choice
from submission.answers.labels import LabelSet
from submission.tasks import TASKS, TaskType
from training.demo.scenes import REGION_TEXTS, Scene
from training.demo.wordings import HELD_OUT, DemoDataset

_PROMPTS = ("{subject}?", "What about the {subject}?", "Say what you see: {subject}.", "The {subject}, in plain words?")


MOST_TURNS = 3


def plain_turns(dataset: DemoDataset, scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Questions about a scene with their answers in plain words, at most `MOST_TURNS` in random order.

    Half of the questions are the short ones that all data sets share, half are the data set's own training wordings
    without their options.
    """
    turns = []
    for target, answer in rng.sample(sorted(scene.answers.items()), min(MOST_TURNS, len(scene.answers))):
        if rng.random() < 0.5:
            subject = f"{dataset.name.replace('_', ' ')} {target}".strip()
            question = rng.choice(_PROMPTS).replace("{subject}", subject)
        else:
            question = rng.choice(dataset.wordings[:-HELD_OUT]).replace("{target}", target)
        turns.append((question, plain_answer(dataset, target, answer, scene.images[0].size)))
    if scene.mark:
        where = f"between {_corners((scene.mark,), scene.images[0].size)}"
        turns.insert(rng.randrange(2), (f"Where are the {dataset.name.replace('_', ' ')}?", where))
    return turns


def plain_answer(dataset: DemoDataset, target: str, answer: str, size: tuple[int, int]) -> str:
    """An answer in plain words; box corners are thousandths of the image's width and height.

    Args:
        dataset: The data set that was asked from.
        target: What it was asked about.
        answer: The true answer in the challenge's grammar.
        size: Width and height of the first image in pixels.
    """
    if dataset.task is TaskType.REPORT:
        return next(f"it is {state}" for state, text in REGION_TEXTS[target].items() if text == answer)
    form = Form(dataset.question(dataset.wordings[0], target), size, "pixel")
    match ANSWER_CLASSES[TASKS[dataset.task].answer_type].parse(answer, form):
        case Choice():
            return f"this is {form.options.get(answer, answer).lower()}"
        case LabelSet(labels=labels):
            return f"there is {' and '.join(labels).lower()}"
        case Boxes(boxes=boxes):
            return f"between {_corners(boxes, size)}"
        case InstanceBoxes(instances=instances):
            return "; ".join(f"{identity} between {_corners(boxes, size)}" for identity, boxes in instances)
        case _:
            return f"about {answer}"


def _corners(boxes: tuple[tuple[int, ...], ...], size: tuple[int, int]) -> str:
    scaled = [[round(1000 * value / size[axis % 2]) for axis, value in enumerate(box)] for box in boxes]
    return json.dumps(scaled, separators=(",", ":"))[1:-1]
