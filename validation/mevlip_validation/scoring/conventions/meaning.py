"""Whether every convention reads an answer as it is meant, and the known cases where one cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mevlip.answers import TypedAnswer
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip_validation.scoring.conventions import CONVENTIONS, Convention

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("qwen25", "option in words"): "compares the letter A to E that it finds, else the last word",
    ("qwen25", "label with a separator"): "cuts such a label at its comma where it stands alone or between commas",
    ("qwen3", "label of several words"): "compares single words",
    ("qwen3", "several boxes"): "reads no box where a row holds more than one, in truth and prediction alike",
    ("paligemma", "label with a separator"): "cuts such a label at its comma",
    ("flare26", "label with a separator"): "cuts such a label at its comma where no semicolon stands beside it",
    ("flare26", "label that means nothing"): "takes `None` and the like for no label",
}
"""Answers that a convention cannot read as meant, however they are written, with the reason."""


def misreadings(answer: TypedAnswer) -> Iterator[tuple[str, str]]:
    """Yields convention and kind of each misreading; the kind is empty where none of `EXCEPTIONS` covers it."""
    text = answer.format()
    for convention in CONVENTIONS.values():
        if not _as_meant(convention, answer, text):
            yield convention.name, _kind(convention.name, answer)


def _as_meant(convention: Convention, answer: TypedAnswer, text: str) -> bool:
    match answer:
        case Choice(value=value):
            return convention.choice(text) in (value, value.upper(), value.lower())
        case LabelSet(labels=labels):
            return {label.lower() for label in convention.labels(text)} == {label.lower() for label in labels}
        case Boxes(boxes=boxes):
            return convention.boxes(text) == [tuple(map(float, box)) for box in boxes]
        case InstanceBoxes(instances=instances):
            meant = {name: [tuple(map(float, box)) for box in boxes] for name, boxes in instances if boxes}
            return {name: boxes for name, boxes in (convention.instances(text) or {}).items() if boxes} == meant
        case Count(value=number):
            return convention.count(text) == number
        case Measurement(value=number):
            return convention.measurement(text) == number
    return True  # a report is not parsed


def _kind(convention: str, answer: TypedAnswer) -> str:
    kinds = []
    match answer:
        case Choice(value=value) if len(value) > 1:
            kinds = ["option in words"]
        case LabelSet(labels=labels):
            if any(re.search(r"[,;|]", label) for label in labels):
                kinds.append("label with a separator")
            if any(" " in label for label in labels):
                kinds.append("label of several words")
            if any(label.lower() in ("none", "n/a", "na", "null", "no finding", "no findings") for label in labels):
                kinds.append("label that means nothing")
        case Boxes(boxes=boxes) if len(boxes) > 1:
            kinds = ["several boxes"]
    return next((kind for kind in kinds if (convention, kind) in EXCEPTIONS), "")
