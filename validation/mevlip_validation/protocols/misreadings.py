"""Whether every protocol reads an answer as it is meant, and the known cases where one cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mevlip.answers import TypedAnswer
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip_validation.protocols import Protocol, Reader, protocols


def known_misreadings() -> dict[tuple[str, str], str]:
    """Protocol and kind of each answer that cannot be read as meant, with the reason."""
    return {(one.name, kind): reason for one in protocols() for kind, reason in one.exceptions.items()}


def misreadings(answer: TypedAnswer, evaluators: Iterable[Protocol]) -> Iterator[tuple[str, str]]:
    """Yields protocol and kind of each misreading; the kind is empty where none of `known_misreadings` covers it.

    Args:
        answer: The answer.
        evaluators: The protocols that read it, such as all of `protocols()`.
    """
    text = answer.format()
    for protocol in evaluators:
        if protocol.reader and not _as_meant(protocol.reader, answer, text):
            yield protocol.name, _kind(protocol, answer)


def _as_meant(reader: Reader, answer: TypedAnswer, text: str) -> bool:
    match answer:
        case Choice(value=value):
            return reader.choice(text) in (value, value.upper(), value.lower())
        case LabelSet(labels=labels):
            return {label.lower() for label in reader.labels(text) or ()} == {label.lower() for label in labels}
        case Boxes(boxes=boxes):
            return reader.boxes(text) == [tuple(map(float, box)) for box in boxes]
        case InstanceBoxes(instances=instances):
            # flare26 takes identities in any case for the same.
            meant = {name.lower(): [tuple(map(float, box)) for box in boxes] for name, boxes in instances if boxes}
            return {name.lower(): boxes for name, boxes in (reader.instances(text) or {}).items() if boxes} == meant
        case Count(value=number):
            return reader.count(text) == number
        case Measurement(value=number):
            return reader.measurement(text) == number
    return True  # a report is not parsed


def _kind(protocol: Protocol, answer: TypedAnswer) -> str:
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
    return next((kind for kind in kinds if kind in protocol.exceptions), "")
