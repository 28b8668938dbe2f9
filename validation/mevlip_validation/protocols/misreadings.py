"""Whether every protocol reads an answer as it is meant, and the known cases where one cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mevlip.answers import TypedAnswer
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip_validation.box_matching import Numbers
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
        if protocol.reader and not reads_as_meant(protocol.reader, answer, text):
            yield protocol.name, kind_of(protocol, answer)


def reads_as_meant(reader: Reader, answer: TypedAnswer, text: str) -> bool:
    """Whether an evaluator's reading of a text is the answer that the text means.

    Args:
        reader: How the evaluator reads.
        answer: What is meant.
        text: The Answer, as it stands in a file.
    """
    match answer:
        case Choice(value=value):
            read = reader.choice(text)
            return read.lower() == value.lower() and read == reader.choice(answer.format())
        case LabelSet(labels=labels):
            found = reader.labels(text) or frozenset()
            return {one.lower() for one in found} == {one.lower() for one in labels} and found == (
                reader.labels(answer.format())
            )
        case Boxes(boxes=boxes):
            return _near(reader.boxes(text) or [], boxes)
        case InstanceBoxes(instances=instances):
            # flare26 takes identities in any case for the same.
            meant = {name.lower(): boxes for name, boxes in instances if boxes}
            each = {name.lower(): boxes for name, boxes in (reader.instances(text) or {}).items() if boxes}
            return each.keys() == meant.keys() and all(_near(each[name], boxes) for name, boxes in meant.items())
        case Count(value=number):
            return reader.count(text) == number
        case Measurement(value=number):
            return reader.measurement(text) == number
    return True  # a report is not parsed


def kind_of(protocol: Protocol, answer: TypedAnswer) -> str:
    """Which of a protocol's exceptions an answer is; empty where it is none."""
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


def _near(read: Sequence[Numbers], meant: Sequence[Numbers]) -> bool:
    """Whether boxes are the same but for fractions of a pixel."""
    return len(read) == len(meant) and all(
        len(one) == len(other) and all(abs(a - b) < 1 for a, b in zip(one, other, strict=True))
        for one, other in zip(read, meant, strict=True)
    )
