"""Labels as multiple choice, with distractors from the same data set."""

from __future__ import annotations

import random
import re

from mevlip.answers import QuestionSpec
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip_training.data.augmentation.base import DataSet, Options, Original, kind, lettered, may_move
from mevlip_validation.rewordings import option_spans

_ONE = "Exactly one of these is right."
_LEAD = re.compile(r"^(?:question|task)\s*:\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.:;!?])\s+")
_ABOUT_OPTIONS = re.compile(
    r"\b(?:options?|choices|choose|select|pick|answer with|one of|"
    r"all|every|each|entries|listed|listing|separated?|several)\b",
    re.IGNORECASE,
)


@kind("choice", "a label as single choice among labels of the same data set")
def choice(row: Original, dataset: DataSet, draw: random.Random) -> Options | None:
    """Asks for one label of a row; the others are ones that its question lists or, without a list, has as answers.

    Of a lettered question that has more options than wanted some are left out; one with fewer has nothing to gain.
    """
    spec = row.spec
    if row.answer_type is Choice and spec.options:
        if len(spec.options) <= dataset.options:
            return None
        right, listed = spec.options.get(row.target, ""), spec.labels
        true = [right]
    elif row.answer_type is Choice:
        right, listed = row.target, spec.labels if row.target in spec.labels else dataset.answers(row)
        true = [right]
    elif row.answer_type is LabelSet:
        true = list(LabelSet.parse(row.target, spec).labels)
        right, listed = draw.choice(true), spec.labels
    else:
        return None
    stem = stem_of(spec)
    others = [label for label in listed if label not in true]
    if not (right and stem and others and may_move([right, *others])):
        return None
    wrong = draw.sample(others, min(dataset.options - 1, len(others)))
    about = f"{stem} {right}" if len(true) > 1 else stem  # each of several labels may be asked for
    return Options(right, tuple(wrong), lambda texts: f"{stem} {_ONE} {lettered(texts)}", about)


def stem_of(spec: QuestionSpec) -> str:
    """A question without its list of options and without what is said about choosing from it; empty if that is all."""
    line = spec.line
    start = _start_of_list(spec)
    if start < len(line):
        sentences = _SENTENCE.split(line[:start].rstrip(" ([{"))
        line = " ".join(one for one in sentences if one and not _ABOUT_OPTIONS.search(one))
    stem = _LEAD.sub("", line).strip().rstrip(":;,")
    return stem if not stem or stem[-1] in ".?!" else f"{stem}."


def _start_of_list(spec: QuestionSpec) -> int:
    """Where the first mark or label of a list stands; the line's length where there is no list."""
    line = spec.line
    spans = option_spans(line, list(spec.options.values()) or spec.labels)
    if not spans:
        return len(line)
    start = spans[0][0]
    if spec.options:
        mark = re.search(r"\(?\w{1,2}\s?[:.)]\s*$", line[:start])
        return mark.start() if mark else start
    return len(line) if "?" in line[start:] else start  # `left or right?` is no list
