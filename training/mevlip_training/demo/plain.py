"""What the demo's base model learns: to see, to say it in plain words, and to write letters, lists, numbers and boxes.

The challenge's questions it meets without their options and answered in plain words only. Which letter stands for what,
the names the options use and the grammar of the answers are left for the adapters to learn.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from mevlip.answers import QuestionSpec
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.labels import LabelSet
from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.scenes import REGION_TEXTS, Scene
from mevlip_training.demo.wordings import HELD_OUT, DemoDataset, OptionStyle, ask

MOST_TARGETS = 3

_PLAIN = ("{}?", "What about the {}?", "Say what you see: {}.", "The {}, in plain words?")
_BY_LETTER = ("The {}, by letter?", "Pick the letter for the {}.", "Which letter suits the {}?")
_AS_LIST = ("The {} as a list?", "List the {}.")
_AS_SENTENCE = ("The {} in a sentence?", "Write a sentence on the {}.")
_AS_JSON = ("The {} as JSON?", "JSON for the {}.")
_AS_NUMBER = ("The {} in digits?", "Only the number: {}.")
_STYLES: tuple[tuple[OptionStyle, str], ...] = (("A:", ", "), ("A)", " "), ("A.", " "), ("A:", "; "))

Box = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What there is to see, apart from how it is put; one of the three is filled.

    Attributes:
        names: Plain names of what is there.
        among: Every name that could have been.
        boxes: Corners in thousandths of the image's width and height, each with the identity of what it encloses.
        number: A number in digits.
    """

    names: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    boxes: tuple[tuple[str, Box], ...] = ()
    number: str = ""

    def in_words(self) -> str:
        """The answer in plain words."""
        if self.number:
            return f"about {self.number}"
        if self.boxes:
            return "; ".join(f"{name} between {_corners(box)}".strip() for name, box in self.boxes)
        return f"there is {' and '.join(self.names)}"


def look(dataset: DemoDataset, target: str, answer: str, size: tuple[int, int]) -> Seen:
    """Turns a true answer in the challenge's grammar into what there is to see.

    Args:
        dataset: The data set that was asked from.
        target: What it was asked about.
        answer: The answer.
        size: Width and height of the first image in pixels.
    """
    if dataset.task is TaskType.REPORT:
        states = REGION_TEXTS[target]
        return Seen(tuple(state for state, text in states.items() if text == answer), tuple(states))
    if dataset.task is TaskType.CLASSIFICATION:
        index = dataset.options.index(answer) if answer in dataset.options else ord(answer) - ord("A")
        return Seen((dataset.plain[index],), dataset.plain)
    spec = QuestionSpec(dataset.question(dataset.wordings[0], target), size, "pixel")
    match TASKS[dataset.task].answer.parse(answer, spec):
        case LabelSet(labels=labels):
            return Seen(tuple(dataset.plain[dataset.options.index(label)] for label in labels), dataset.plain)
        case Boxes(boxes=boxes):
            return Seen(boxes=tuple(("", _thousandths(box, size)) for box in boxes))
        case InstanceBoxes(instances=instances):
            return Seen(boxes=tuple((name, _thousandths(box, size)) for name, boxes in instances for box in boxes))
        case _:
            return Seen(number=answer)


def base_turns(dataset: DemoDataset, scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Questions about a scene and their answers, in random order.

    What has a name is asked in plain words and in a form where it is the only thing to ask about. Of several things up
    to `MOST_TARGETS` are asked about, each in one of the two ways.
    """
    size = scene.images[0].size
    turns = []
    for target, answer in rng.sample(sorted(scene.answers.items()), min(MOST_TARGETS, len(scene.answers))):
        seen, subject = look(dataset, target, answer, size), f"{dataset.name.replace('_', ' ')} {target}".strip()
        both = len(scene.answers) == 1 and bool(seen.names)
        in_words = rng.random() < 0.5
        if both or in_words:
            wording = rng.choice((rng.choice(_PLAIN), rng.choice(dataset.wordings[:-HELD_OUT])))
            turns.append((wording.replace("{}", subject).replace("{target}", target), seen.in_words()))
        if both or not in_words:
            turns.append(_in_form(seen, subject, rng))
    if scene.mark and rng.random() < 0.5:
        mark = Seen(boxes=(("", _thousandths(scene.mark, size)),))
        turns.append((f"Where are the {dataset.name.replace('_', ' ')}?", mark.in_words()))
    rng.shuffle(turns)
    return turns


def _in_form(seen: Seen, subject: str, rng: random.Random) -> tuple[str, str]:
    """A question that asks for a form of its own, and the answer in it."""
    if seen.number:
        return rng.choice(_AS_NUMBER).format(subject), seen.number
    if seen.boxes:
        return rng.choice(_AS_JSON).format(subject), _as_json(seen.boxes)
    how = rng.random()
    if how < 0.6 and len(seen.names) == 1:
        return _by_letter(seen, subject, rng)
    if how < 0.8:
        return rng.choice(_AS_LIST).format(subject), ", ".join(name.capitalize() for name in seen.names)
    return rng.choice(_AS_SENTENCE).format(subject), f"{' and '.join(seen.names)}.".capitalize()


def _by_letter(seen: Seen, subject: str, rng: random.Random) -> tuple[str, str]:
    """Options in alphabetical order, or some of them in any order."""
    options = sorted(seen.among)
    if rng.random() < 0.5:
        others = [name for name in options if name not in seen.names]
        options = [*seen.names, *rng.sample(others, rng.randint(1, len(others)))]
        rng.shuffle(options)
    question = ask(rng.choice(_BY_LETTER).format(subject), tuple(options), *rng.choice(_STYLES))
    return question, chr(ord("A") + options.index(seen.names[0]))


def _as_json(boxes: tuple[tuple[str, Box], ...]) -> str:
    """A list of boxes, or lists of boxes by identity."""
    by_name: dict[str, list[Box]] = {}
    for name, box in boxes:
        by_name.setdefault(name, []).append(box)
    return json.dumps(by_name.get("", by_name))


def _thousandths(box: Box, size: tuple[int, int]) -> Box:
    return tuple(round(1000 * value / size[axis % 2]) for axis, value in enumerate(box))


def _corners(box: Box) -> str:
    return json.dumps(box, separators=(",", ":"))
