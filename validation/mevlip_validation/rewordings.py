"""The same question in other words: what does not change its meaning should not change its answer.

Options are put in another order, with their letters staying where they are, or the marks and the first words change.
An answer is brought back to the letters of the original question, so that it can be compared and scored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mevlip.answers import QuestionSpec
from mevlip.answers.base import Unparsable
from mevlip.answers.labels import LabelSet
from mevlip.flare.questions import Question
from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, estimate
from mevlip_validation.matching import Row
from mevlip_validation.statistics import Aggregate

_FIRST_WORDS = "Please look at the image carefully. "
_STYLES = {":": ")", ")": ".", ".": ":"}


@dataclass(frozen=True)
class Reworded:
    """A question in other words.

    Attributes:
        question: The question that is asked.
        restore: Turns its answer into one to the original question.
    """

    question: Question
    restore: Callable[[str], str]


@dataclass(frozen=True)
class Rewording:
    """A way of putting questions in other words.

    Attributes:
        name: Its name, for tables.
        change: Rewords a question; None where it does not apply.
    """

    name: str
    change: Callable[[Question], Reworded | None]


@dataclass(frozen=True)
class Stability:
    """How often an answer survives.

    Attributes:
        rewording: The name of what was done to the questions.
        dataset: The data set.
        questions: How many were asked in other words.
        same: Share of them with the same answer, with its interval.
    """

    rewording: str
    dataset: str
    questions: int
    same: Estimate


def shuffle_options(question: Question) -> Reworded | None:
    """Puts the texts of the options, or the labels, in another order; the letters keep their places."""
    spec = QuestionSpec(question.text)
    texts = list(spec.options.values()) if spec.options else list(spec.labels)
    order = list(range(len(texts)))
    random.Random(spec.line).shuffle(order)  # noqa: S311 - another order, not a secret
    if order == sorted(order):
        order = order[1:] + order[:1]
    text = with_options(spec, [texts[source] for source in order])
    if text is None:
        return None
    changed = _asked(question, text)
    if not spec.options:
        return Reworded(changed, lambda answer: _in_order(answer, spec))
    marks = list(spec.options)
    letters = {marks[place]: marks[source] for place, source in enumerate(order)}
    return Reworded(changed, lambda answer: letters.get(answer) or _in_order(answer, spec))


def with_options(spec: QuestionSpec, texts: Sequence[str]) -> str | None:
    """A question with other texts in the places of its options, or of its labels; the marks stay where they are.

    Args:
        spec: The question.
        texts: One for each option or label.

    Returns:
        The question's text; None where the places cannot be told, or there are fewer than two.
    """
    found = list(spec.options.values()) if spec.options else list(spec.labels)
    spans = option_spans(spec.line, found)
    if spans is None or len(found) < 2 or len(set(found)) < len(found):
        return None
    parts, end = [], 0
    for (start, stop), text in zip(spans, texts, strict=True):
        parts += [spec.line[end:start], text]
        end = stop
    return "".join([*parts, spec.line[end:]])


def reword(question: Question) -> Reworded | None:
    """Begins with other words, and marks the options in another of the challenge's styles."""
    spec = QuestionSpec(question.text)
    line = spec.line
    for mark in spec.options:
        line = re.sub(
            rf"(?<![\w.]){re.escape(mark)}([:.)])(?=\s)", lambda found: found[0][:-1] + _STYLES[found[1]], line, count=1
        )
    changed = QuestionSpec(_FIRST_WORDS + line)
    if (tuple(changed.options.values()), changed.labels) != (tuple(spec.options.values()), spec.labels):
        return None
    return Reworded(_asked(question, _FIRST_WORDS + line), lambda answer: answer)


SHUFFLED = Rewording("options shuffled", shuffle_options)
OTHER_WORDS = Rewording("other words", reword)
REWORDINGS = (SHUFFLED, OTHER_WORDS)


def stability(
    name: str, original: Sequence[Row], changed: Sequence[Row], resamples: int = RESAMPLES, seed: int = SEED
) -> list[Stability]:
    """Compares the answers to the original questions with those to the same questions in other words.

    Args:
        name: The rewording's name.
        original: Rows with the original answers.
        changed: Rows of the same questions, as far as they were reworded, with the restored answers.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Returns:
        One for each data set with reworded questions.
    """
    first = {row.place: row.prediction for row in original}
    found = []
    for dataset in dict.fromkeys(row.dataset for row in changed):
        mine = [row for row in changed if row.dataset == dataset]
        same = Aggregate(tuple(float(row.prediction == first[row.place]) for row in mine))
        bootstrap = Bootstrap([row.cluster for row in mine], resamples, seed)
        found.append(Stability(name, dataset, len(mine), estimate(bootstrap, same, "share")))
    return found


def option_spans(line: str, texts: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where the texts of options stand in a line, one after the other, the last run of them; None where they do not."""
    found: list[tuple[int, int]] = []
    end = len(line)
    for text in reversed(texts):
        start = line.rfind(text, 0, end)
        if start < 0:
            return None
        found.append((start, start + len(text)))
        end = start
    return found[::-1]


def _in_order(answer: str, spec: QuestionSpec) -> str:
    """Labels in the order of the original question; another answer as it is."""
    try:
        return LabelSet.parse(answer, spec).format() if spec.labels else answer
    except Unparsable:
        return answer


def _asked(question: Question, text: str) -> Question:
    return replace(question, record={**question.record, "Question": text})
