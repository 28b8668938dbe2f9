"""What a kind of synthesized row is, what it gets, and the registry of all kinds.

A kind is one function with the decorator `kind` in a module of `kinds/`, where it is found by being there.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

from mevlip.answers import QuestionSpec
from mevlip.answers.base import TypedAnswer
from mevlip.tasks import TASKS, TaskType
from mevlip_training.data.records import Example


@dataclass(frozen=True)
class Open:
    """A question that is finished, with its answer.

    Attributes:
        task: What it asks for.
        text: Its text.
        answer: Its Answer field.
        about: What it asks of the pictures; two rows on the same pictures about the same must have the same answer.
    """

    task: TaskType
    text: str
    answer: Any
    about: str


@dataclass(frozen=True)
class Options:
    """A single-choice question whose options are yet to be put in order.

    Attributes:
        right: The text of the right option.
        wrong: Those of the others, none of which is right.
        write: Writes the question with its options' texts in the order given; None where it cannot.
        about: What it asks of the pictures; two rows on the same pictures about the same must have the same answer.
    """

    right: str
    wrong: tuple[str, ...]
    write: Callable[[list[str]], str | None]
    about: str


Draft: TypeAlias = "Open | Options"


@dataclass(frozen=True)
class Original:
    """A training row that others are made of.

    Attributes:
        example: The row.
        target: What a model would say, boxes in pixels.
        size: Width and height of its first picture, in pixels.
        pictures: Hash of each of its pictures.
    """

    example: Example
    target: str
    size: tuple[int, int]
    pictures: tuple[str, ...]

    @cached_property
    def spec(self) -> QuestionSpec:
        """What its question asks for."""
        return QuestionSpec(self.example.question.text, self.size)

    @property
    def answer_type(self) -> type[TypedAnswer]:
        """The type of its answer."""
        return TASKS[self.example.task].answer


class DataSet:
    """The rows of one data set, and what they say of each other.

    Args:
        originals: Its rows.
        options: How many options a question made of labels has, where there are so many.
    """

    def __init__(self, originals: Iterable[Original], options: int) -> None:
        self.originals = tuple(originals)
        self.options = options
        self._rows = Counter((row.pictures, row.example.task) for row in self.originals)
        self._answers: dict[tuple[TaskType, str], dict[str, None]] = defaultdict(dict)  # in place of an ordered set
        for row in self.originals:
            self._answers[row.example.task, row.spec.line][row.target] = None

    def is_alone(self, row: Original) -> bool:
        """Whether a row is the only one of its task on its pictures, so that its question needs no distinguishing."""
        return self._rows[row.pictures, row.example.task] == 1

    def answers(self, row: Original) -> tuple[str, ...]:
        """What the rows with the same question answer, each once."""
        return tuple(self._answers[row.example.task, row.spec.line])


Make = Callable[[Original, DataSet, random.Random], "Draft | None"]
"""Makes a row of another; None where its kind does not apply."""


@dataclass(frozen=True)
class Kind:
    """One kind of synthesized row.

    Attributes:
        name: Its name.
        about: What it makes of what, in a few words.
        make: The function.
    """

    name: str
    about: str
    make: Make


_registry: dict[str, Kind] = {}


def kind(name: str, about: str) -> Callable[[Make], Make]:
    """Registers a function as a kind.

    Args:
        name: Its name, which no other has.
        about: What it makes of what, in a few words.
    """

    def register(make: Make) -> Make:
        if name in _registry:
            raise ValueError(f"{name!r} is a kind already")
        _registry[name] = Kind(name, about, make)
        return make

    return register


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by name, in the order of their names."""
    from mevlip_training.data.augmentation import kinds as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_registry.items()))


def lettered(texts: Iterable[str]) -> str:
    """Options in the challenge's commonest style: `A: x, B: y`."""
    return ", ".join(f"{chr(ord('A') + index)}: {text}" for index, text in enumerate(texts))


_POINTS_AT_OTHERS = re.compile(
    r"\b(?:above|below|following|preceding|previous|neither|all of|none of)\b|\b[A-Z] (?:and|or|&) [A-Z]\b",
    re.IGNORECASE,
)


def may_move(texts: Iterable[str]) -> bool:
    """Whether options mean the same in any order: none names others (`All of the above`, `A and B`), none is twice."""
    folded = [text.casefold().strip(" .") for text in texts]
    return len(set(folded)) == len(folded) and not any(map(_POINTS_AT_OTHERS.search, folded))
