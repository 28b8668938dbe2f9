"""Anybody's Answers: what each means, which evaluators read it so, and the form that all of them read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mevlip.answers import ParsedAnswer, QuestionSpec, TypedAnswer
from mevlip.flare.pixels import ImageError
from mevlip.flare.predictions import answered
from mevlip.flare.questions import InputFolder, Question, Record
from mevlip.flare.store import ImageStore
from mevlip.reading import fallback_answer, read_answer
from mevlip.routing.consistency import decide_task
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.matching import as_text, parse_answer, row_key
from mevlip_validation.mismatches import explain
from mevlip_validation.protocols import protocols
from mevlip_validation.protocols.misreadings import kind_of, reads_as_meant

_BOX_TASKS = (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)
_ABSENT = "the file has no answer to this question"
OTHER_FORM = "another form than the evaluator expects"
"""Why an answer is not read as meant, where a rewritten one is."""
NO_FORM = "no form of it is read"
"""Why an answer is not read as meant, where no exception of the protocol names it."""


@dataclass(frozen=True)
class Reading:
    """One Answer, and what is made of it.

    Attributes:
        question: The question.
        task: What kind of answer it wants.
        given: The Answer as text, as it stands in the file; None where there is none.
        parsed: The Answer in the form that all evaluators read, and how it was read.
        meaning: What is meant; None where nothing could be read, so that a fallback stands for it.
    """

    question: Question
    task: TaskType
    given: str | None
    parsed: ParsedAnswer
    meaning: TypedAnswer | None


@dataclass(frozen=True)
class Formatted:
    """A predictions file that was read.

    Attributes:
        readings: One for each question of the input folder, in its order.
        surplus: How many of the file's rows answer no question, or one that was answered before.
        hints: What keeps surplus rows from unanswered questions, where it is little.
    """

    readings: tuple[Reading, ...]
    surplus: int
    hints: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many questions have no answer."""
        return sum(one.given is None for one in self.readings)

    def rows(self) -> list[Record]:
        """The records of the input folder with their answers."""
        return [answered(one.question, one.parsed.text) for one in self.readings]


@dataclass(frozen=True)
class Convention:
    """How an evaluator reads the answers of one task.

    Attributes:
        evaluator: The protocol's name.
        task: The task.
        answers: How many of the answers mean something.
        as_given: How many are read as meant as they stand.
        as_formatted: How many are read as meant once they are rewritten.
        reasons: Why others are not, by number, with the first question of each.
    """

    evaluator: str
    task: TaskType
    answers: int
    as_given: int
    as_formatted: int
    reasons: Mapping[str, tuple[int, str]]


def told_task(question: Question) -> TaskType | None:
    """The task that a question's record names, or its form in spite of that; None where the record names none."""
    return decide_task(question.declared, question.text) if question.declared else None


def read_file(
    predictions: Sequence[Record],
    folder: InputFolder,
    tasks: Callable[[Sequence[Question]], Sequence[TaskType]],
    sizes: Callable[[Question], tuple[int, int] | None] = lambda _: None,
) -> Formatted:
    """Reads every Answer of a file for what it means, as the predictor reads its model's text.

    Args:
        predictions: The file's records; the rows of equal questions answer them in order.
        folder: The questions that they answer.
        tasks: What kind of answer each question wants.
        sizes: Width and height of a question's first image, inside which boxes lie; None where it is not known.
    """
    waiting: dict[object, list[Record]] = defaultdict(list)
    for record in reversed(predictions):
        waiting[row_key(record)].append(record)
    readings = []
    for question, task in zip(folder.questions, tasks(folder.questions), strict=True):
        mine = waiting[row_key(question.record)]
        size = sizes(question) if task in _BOX_TASKS else None
        readings.append(_read(question, task, mine.pop().get("Answer") if mine else None, size))
    left = [record for records in waiting.values() for record in records]
    absent = (one.question.record for one in readings if one.given is None)
    return Formatted(tuple(readings), len(left), explain(absent, left))


def image_sizes(store: ImageStore) -> Callable[[Question], tuple[int, int] | None]:
    """Looks up the size of a question's first image that can be read."""

    def size(question: Question) -> tuple[int, int] | None:
        for name in question.image_names:
            try:
                return store.facts(question, name).size
            except ImageError:
                continue
        return None

    return size


def conventions(readings: Iterable[Reading]) -> list[Convention]:
    """How each evaluator whose reading is known reads the answers, by task."""
    groups: dict[TaskType, list[tuple[Reading, TypedAnswer]]] = defaultdict(list)
    for one in readings:
        if one.meaning is not None:
            groups[one.task].append((one, one.meaning))
    found = []
    for protocol in protocols():
        if protocol.reader is None:
            continue
        for task in (task for task in TASKS if task in groups):
            before = after = 0
            reasons: Counter[str] = Counter()
            first: dict[str, str] = {}
            for one, meaning in groups[task]:
                meant = reads_as_meant(protocol.reader, meaning, one.given or "")
                readable = reads_as_meant(protocol.reader, meaning, one.parsed.text)
                before, after = before + meant, after + readable
                if not meant:
                    reason = OTHER_FORM if readable else protocol.exceptions.get(kind_of(protocol, meaning), NO_FORM)
                    reasons[reason] += 1
                    first.setdefault(reason, one.question.where)
            counted = {reason: (number, first[reason]) for reason, number in reasons.items()}
            found.append(Convention(protocol.name, task, len(groups[task]), before, after, counted))
    return found


def _read(question: Question, task: TaskType, value: Any, size: tuple[int, int] | None) -> Reading:
    spec = QuestionSpec(question.text, size)
    if value is None:
        return Reading(question, task, None, fallback_answer(task, spec, _ABSENT), None)
    given = as_text(value)
    parsed = read_answer(task, given, spec)
    meaning = None if parsed.stage == "fallback" else parse_answer(task, parsed.text, spec, ("parse",))
    return Reading(question, task, given, parsed, meaning)
