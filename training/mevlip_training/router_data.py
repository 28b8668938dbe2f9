"""Questions and their tasks, as a router is trained on them: distinct, whole wordings held out, tasks in balance."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mevlip.core.errors import InputError
from mevlip.flare.questions import Question
from mevlip.tasks import TASKS, TaskType
from mevlip_training.off_topic import OFF_TOPIC_SHARE

Pair = tuple[str, TaskType | None]
"""A question and its task; None marks an off-topic text, whose target is 0 for all seven labels."""


@dataclass(frozen=True)
class QuestionPairs:
    """The distinct questions of a data set.

    Attributes:
        pairs: Each distinct question text with its task.
        records: Records read.
        unknown: Records left out because their TaskType names none of the seven, or they hold no question.
        conflicting: Texts declared with several tasks; the most frequent one was taken.
    """

    pairs: tuple[Pair, ...]
    records: int
    unknown: int
    conflicting: int


@dataclass(frozen=True)
class Split:
    """Pairs to train on, and pairs of wordings that training never sees."""

    training: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def distinct_pairs(questions: Iterable[Question]) -> QuestionPairs:
    """Collects each distinct question text once; raises InputError where no question declares a known task."""
    tasks: dict[str, Counter[TaskType]] = defaultdict(Counter)
    records = unknown = 0
    for question in questions:
        records += 1
        if question.declared is None or not question.text:
            unknown += 1
        else:
            tasks[question.text][question.declared] += 1
    if not tasks:
        raise InputError(
            f"None of {records} question records declares one of the seven task types",
            "Train on question files whose TaskType field is filled; `mevlip tasks` lists the spellings.",
        )
    pairs = tuple((text, counts.most_common(1)[0][0]) for text, counts in tasks.items())
    return QuestionPairs(pairs, records, unknown, sum(len(counts) > 1 for counts in tasks.values()))


def question_stem(text: str) -> str:
    """A question's wording without what varies in it: options, numbers, case, punctuation.

    Example:
        >>> question_stem("Question: Which tooth, 36 or 37? A: Left, B: Right")
        'which tooth 0 or 0'
    """
    stem = re.sub(r"^\s*question:\s*", "", text, flags=re.IGNORECASE)
    stem = re.split(r"(?:^|[\s(])A[:.)]\s|:|\[|\{", stem, maxsplit=1)[0] or stem
    stem = re.sub(r"\d+(?:\.\d+)?", "0", stem.lower())
    return " ".join(re.findall(r"\w+", stem))


def split_by_wording(pairs: Sequence[Pair], share: float = 0.2, seed: int = 0) -> Split:
    """Holds out whole wordings, so that a router is measured on questions phrased as none it was trained on.

    Args:
        pairs: Distinct questions and their tasks.
        share: Share of each task's wordings to hold out; at least one is, where a task has two or more.
        seed: Chooses which.
    """
    wordings: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        wordings[question_stem(pair[0])].append(pair)
    by_task: dict[TaskType | None, list[str]] = defaultdict(list)
    for stem, members in wordings.items():
        by_task[members[0][1]].append(stem)
    rng = random.Random(seed)  # noqa: S311 - a choice, not secrets
    kept_back: set[str] = set()
    for task in (*TASKS, None):
        stems = sorted(by_task[task])
        rng.shuffle(stems)
        if len(stems) > 1:
            kept_back.update(stems[: max(1, round(share * len(stems)))])
    chosen = {text for stem in kept_back for text, _ in wordings[stem]}
    return Split(
        tuple(pair for pair in pairs if pair[0] not in chosen), tuple(pair for pair in pairs if pair[0] in chosen)
    )


def balanced_batches(pairs: Sequence[Pair], steps: int, size: int, rng: random.Random) -> Iterator[list[Pair]]:
    """Draws batches in which every task comes up equally often, however many questions it has.

    A task's questions are gone through again and again, each time in a new order; off-topic texts, if there are any,
    make up `OFF_TOPIC_SHARE`. Batches of questions of like length would take half the time where lengths differ much,
    but such a batch is of few tasks, and several times as many steps are needed.

    Args:
        pairs: Questions and their tasks.
        steps: Number of batches.
        size: Pairs in each.
        rng: Chooses the order.
    """
    by_task: dict[TaskType | None, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_task[pair[1]].append(pair)
    drawn = {task: _again_and_again(members, rng) for task, members in by_task.items()}
    tasks = [task for task in by_task if task is not None]
    # In one turn, each task as often as makes the off-topic texts beside them their share.
    order = [*tasks * (round(1 / OFF_TOPIC_SHARE) - 1), *([None] * len(tasks) if None in by_task else [])]
    turn: list[Pair] = []
    for _ in range(steps):
        while len(turn) < size:
            turn += rng.sample([next(drawn[task]) for task in order], len(order))
        yield turn[:size]
        del turn[:size]


def _again_and_again(members: Sequence[Pair], rng: random.Random) -> Iterator[Pair]:
    while True:
        yield from rng.sample(members, len(members))
