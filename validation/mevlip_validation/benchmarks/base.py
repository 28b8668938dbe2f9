"""What a benchmark's layout has to say, and the questions that it gives."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mevlip.answers import QuestionSpec
from mevlip.core.errors import InputError
from mevlip.core.text import one_line
from mevlip.routing.consistency import decide_task
from mevlip.tasks import TaskType
from mevlip_validation.benchmarks.reading import Source
from mevlip_validation.targets import TargetError, write_target

Split = Literal["test", "validation", "train"]

_SHORT = {"en": "Answer in a few words.", "zh": "请用几个词回答。"}
_EITHER: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("yes", "no"), ("Yes", "No")),
    **dict.fromkeys(("是", "否"), ("是", "否")),
    **dict.fromkeys(("是的", "不是"), ("是的", "不是")),
    **dict.fromkeys(("有", "没有"), ("有", "没有")),
    **dict.fromkeys(("存在", "不存在"), ("存在", "不存在")),
    **dict.fromkeys(("包含", "不包含"), ("包含", "不包含")),
    **dict.fromkeys(("健康", "不健康"), ("健康", "不健康")),
}
"""Answers that leave one other."""
_STYLES = ("{}: {},", "{}) {}", "{}. {}", "({}) {}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Unusable(ValueError):
    """A record that is well formed but that cannot be asked or scored; its text is the reason, without its place."""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark, as FLARE asks it.

    Attributes:
        dataset: The data set that it becomes a part of.
        image: Its pictures: paths below the source, or the bytes of one.
        modality: The Modality field.
        task: The TaskType.
        question: Its text, with its options.
        answer: Its answer: a letter, or a text.
        where: The record's place in the source, for messages.
        field: The field that names the pictures, for messages.
    """

    dataset: str
    image: tuple[str, ...] | bytes
    modality: str
    task: TaskType
    question: str
    answer: str
    where: str
    field: str


Found = Iterator["Item | Unusable"]


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        name: Its name on the command line.
        title: Its name for people.
        category: The folder that its data sets lie in.
        layout: The files that are read, in words; shown where they are not there.
        read: Gives the questions of a split.
    """

    name: str
    title: str
    category: str
    layout: str
    read: Callable[[Source, Split], Found]

    def missing(self, source: Source, split: Split) -> InputError:
        """The error where a source does not hold the split in this layout."""
        return InputError(
            f"{source.root} does not hold the {split} split of {self.title}", f"It should have {self.layout}."
        )


@cache
def benchmarks() -> Mapping[str, Benchmark]:
    """All benchmarks by name.

    Raises:
        LookupError: A file in `layouts/` does not define one.
    """
    from mevlip_validation.benchmarks import layouts

    found = {}
    for module in pkgutil.iter_modules(layouts.__path__):
        one = getattr(importlib.import_module(f"{layouts.__name__}.{module.name}"), "BENCHMARK", None)
        if not isinstance(one, Benchmark):
            raise LookupError(
                f"mevlip_validation/benchmarks/layouts/{module.name}.py does not define BENCHMARK, a Benchmark"
            )
        found[one.name] = one
    return found


def find(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        InputError: There is none.
    """
    if name not in benchmarks():
        raise InputError(f"{name!r} is not a benchmark that can be imported", f"Name one of {', '.join(benchmarks())}.")
    return benchmarks()[name]


def ask_one(question: str, options: list[str], right: int) -> tuple[TaskType, str, str]:
    """Task, text and letter of a multiple-choice question; options keep their order.

    Args:
        question: Its text without options.
        options: Their texts.
        right: The index of the right one.

    Raises:
        Unusable: It cannot be written so that its options are read back.
    """
    texts = [one_line(text).strip(" ,;|") for text in options]
    for style in _STYLES:
        listed = " ".join(map(style.format, _LETTERS, texts)).rstrip(",")
        text = f"{one_line(question)} {listed}"
        spec = QuestionSpec(text)
        if [*spec.options.values()] == texts and decide_task(TaskType.CLASSIFICATION, text) is TaskType.CLASSIFICATION:
            return TaskType.CLASSIFICATION, text, _LETTERS[right]
    raise Unusable("its options cannot be told apart in any style")


def ask(question: str, answer: str, language: str = "en", *, closed: bool = False) -> tuple[TaskType, str, str]:
    """Task, text and answer of a question without options.

    Yes or no becomes a choice of the two; so does a closed question of the form `x or y?` if one of them is the answer.
    Any other asks for a short free text.

    Args:
        question: Its text.
        answer: Its answer.
        language: `en` or `zh`.
        closed: Whether the benchmark calls it closed.

    Raises:
        Unusable: The answer cannot be scored.
    """
    folded = fold(answer)
    options = list(_EITHER.get(folded, ()))
    labels = QuestionSpec(question).labels
    if not options and closed and folded in map(fold, labels):
        options = list(labels)
    if options:
        return ask_one(question, options, [*map(fold, options)].index(folded))
    text, said = f"{one_line(question)} {_SHORT[language]}", one_line(answer)
    try:
        write_target(TaskType.REPORT, said, QuestionSpec(text))
    except TargetError as error:
        raise Unusable(f"its answer cannot be scored ({error.code})") from error
    return TaskType.REPORT, text, said


def fold(text: str) -> str:
    """A text without letter case, blanks at either end and a final full stop."""
    return re.sub(r"[\s.。]+$", "", one_line(text)).casefold()
