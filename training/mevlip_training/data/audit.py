"""Checking a FLARE tree before a model learns from it."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from mevlip.answers import QuestionSpec
from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.numbers import Measurement
from mevlip.core.errors import InputError
from mevlip.core.progress import Progress
from mevlip.flare.ground_truth import has_answer, read_answered
from mevlip.flare.inspection import Inspector, inspect_questions, issue_of
from mevlip.flare.issues import Issue, IssueCode, Severity
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.tasks import TASKS
from mevlip_training.data.pictures import can_compare, near_pairs, survey
from mevlip_training.data.records import TRAINING, Example, Examples, examples_of
from mevlip_validation.targets import TargetError, flat_boxes, has_area, read_boxes, read_number, write_target

_FAR = 10
"""A measurement so many interquartile ranges beyond the quartiles is a typo, not a rare case."""

_UNUSABLE = (IssueCode.UNREADABLE_IMAGE, IssueCode.NO_IMAGE)


@dataclass(frozen=True)
class _Row:
    """An example with what was learned of it.

    Attributes:
        example: The example.
        images: Hash of each readable image, in order.
        size: Width and height of the first image in pixels, where it is readable.
        target: What a model would be taught, boxes in pixels; None where there is nothing to teach.
        issues: What is wrong with the row alone.
    """

    example: Example
    images: tuple[str, ...]
    size: tuple[int, int] | None
    target: str | None
    issues: tuple[Issue, ...]


@dataclass(frozen=True)
class Checked:
    """A folder that was checked.

    Attributes:
        questions: Number of questions.
        problems: One line for each file or entry that could not be used.
        issues: What is wrong, in the order of files and records, of one record in the order of `IssueCode`.
    """

    questions: int
    problems: tuple[str, ...]
    issues: tuple[Issue, ...]


def check_folder(root: Path, quiet: bool = False) -> Checked:
    """Checks every question and image of a folder, and every answer that is there.

    Questions and images are checked by `mevlip.flare.inspection`; where a question has an answer, equal images and
    questions are judged by their answers instead: as contradictions, repeated rows and images shared by splits.

    Args:
        root: A FLARE tree, a part of it, or an input folder; images in folders or archives.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is no question.
    """
    folder = read_answered(root)
    examples = examples_of(folder, root)
    questions = [row.question for row in folder.rows]
    to_answer = {row.question.where for row in folder.rows if row.task is None or not has_answer(row.answer)}
    with ImageStore(folder.root) as store:
        problems = list(examples.problems)
        looks = survey(folder.root, store, questions, quiet, compare=can_compare())
        if not can_compare():
            problems.append(
                "nearly equal pictures were not looked for; that needs imagehash: pip install 'me-vlip[data]'"
            )
        issues = audit_examples(examples, store, quiet, looks)
        known = {(one.where, one.code, one.image) for one in issues}
        others = [
            one
            for one in inspect_questions(questions, store, quiet)
            if one.where in to_answer and (one.where, one.code, one.image) not in known
        ]
    return Checked(len(questions), tuple(problems), _in_order((*issues, *others), questions))


def audit_examples(
    examples: Examples, store: ImageStore, quiet: bool = False, looks: Mapping[str, str] = MappingProxyType({})
) -> tuple[Issue, ...]:
    """Checks the answers of a FLARE tree's records, and their images.

    Free text may be taught, so that a question without options is not an issue here.

    Args:
        examples: The records.
        store: The store of their images, which then knows their facts; `pictures.survey` tells it faster.
        quiet: Whether to show no progress.
        looks: Perceptual hashes of images by sha256; those without one are not compared.

    Returns:
        Issues in the order of files and records, of one record in the order of `IssueCode`.
    """
    answered = {row.question.file for row in examples.rows if has_answer(row.answer)}
    inspector = Inspector(store)
    rows = []
    with Progress("auditing", len(examples.rows), "rows", quiet) as progress:
        for example in examples.rows:
            rows.append(_examine(example, store, inspector, judged=example.question.file in answered))
            progress.advance()
    alone = chain.from_iterable(row.issues for row in rows)
    found = chain(alone, _far_measurements(rows), _duplicates(rows), _shared(rows), _near(rows, looks))
    return _in_order(found, [row.question for row in examples.rows])


def reasons_to_leave_out(issues: Iterable[Issue]) -> dict[str, IssueCode]:
    """The first reason why each record that nothing can be learned from is left out, by its place."""
    reasons: dict[str, IssueCode] = {}
    for one in issues:
        if one.left_out:
            reasons.setdefault(one.where, one.code)
    return reasons


def nothing_left(root: Path, causes: Counter[str], otherwise: str) -> InputError:
    """The error where every record is left out.

    Args:
        root: The folder.
        causes: Number of records left out, by reason.
        otherwise: What is wrong where there is no reason.
    """
    named = ", ".join(f"{count} x {reason}" for reason, count in causes.most_common())
    return InputError(
        f"No row below {root} can be trained on ({named or otherwise})", "Run `mevlip data check` for the causes."
    )


def _in_order(issues: Iterable[Issue], questions: Iterable[Question]) -> tuple[Issue, ...]:
    """Issues in the order of the questions, of one question in that of `IssueCode`."""
    order = {code: rank for rank, code in enumerate(IssueCode)}
    position = {question.where: question.position for question in questions}
    return tuple(sorted(issues, key=lambda one: (position[one.where], order[one.code])))


def _examine(example: Example, store: ImageStore, inspector: Inspector, judged: bool) -> _Row:
    """Looks at one row; in a file without any answer, which asks what is yet to be answered, at its images only."""
    question = example.question
    issues = [one for one in inspector.text(question) if one.code is not IssueCode.NO_OPTIONS]
    issues += [_left_out(one) if one.code in _UNUSABLE else one for one in inspector.images(question)]
    digests = []
    size = None
    for index, name in enumerate(question.image_names):
        try:
            facts = store.facts(question, name)
        except ImageError:
            continue
        digests.append(facts.sha256)
        size = facts.size if index == 0 else size
    spec = QuestionSpec(question.text, size, "pixel")  # in pixels no two answers are rounded into one
    target = None
    if judged:
        try:
            target = write_target(example.task, example.answer, spec)
            issues.extend(_odd_boxes(example, size))
        except TargetError as error:
            issues.append(_issue(error.code, example, str(error)))
    return _Row(example, tuple(digests), size, target, tuple(issues))


def _issue(code: IssueCode, example: Example, message: str, left_out: bool = True) -> Issue:
    """An issue of an answer."""
    severity: Severity = "error" if left_out else "warning"
    return issue_of(example.question, code, message, severity=severity, field="Answer", left_out=left_out)


def _left_out(issue: Issue) -> Issue:
    return replace(issue, severity="error", left_out=True)


def _odd_boxes(example: Example, size: tuple[int, int] | None) -> Iterator[Issue]:
    """Boxes among others that nothing can match, which are dropped, and boxes that stick out, which are clamped."""
    if size is None or TASKS[example.task].answer not in (Boxes, InstanceBoxes):
        return
    width, height = size
    for box in flat_boxes(read_boxes(example.answer)):
        if not has_area(box, size):
            detail = f"{box} has no area in an image of {width} x {height} pixels; it is dropped, not its row"
            yield _issue(IssueCode.ZERO_AREA, example, detail, left_out=False)
        elif box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            detail = f"{box} in an image of {width} x {height} pixels; it will be clamped"
            yield _issue(IssueCode.OUTSIDE, example, detail, left_out=False)


def _far_measurements(rows: Iterable[_Row]) -> Iterator[Issue]:
    """Percentages beyond 0..100; other quantities far from the rest of their data set."""
    others: dict[str, list[tuple[Example, float]]] = defaultdict(list)
    for row in rows:
        if row.target is None or TASKS[row.example.task].answer is not Measurement:
            continue
        value = float(read_number(row.example.answer, IssueCode.UNPARSABLE_MEASUREMENT))
        if not _asks_percent(row.example):
            others[row.example.dataset].append((row.example, value))
        elif not 0 <= value <= 100:
            yield _issue(IssueCode.FAR_MEASUREMENT, row.example, f"{value:g} is not a percentage")
    for measured in others.values():
        low, high = _fences([value for _, value in measured])
        for example, value in measured:
            if not low <= value <= high:
                message = f"{value:g} is not within {low:g} to {high:g}"
                yield _issue(IssueCode.FAR_MEASUREMENT, example, message)


def _asks_percent(example: Example) -> bool:
    text = example.question.text.lower()
    return "%" in text or "percent" in text


def _fences(values: Sequence[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [0.0] * 3
    reach = _FAR * (third - first) or math.inf  # values that are mostly equal say nothing about the others
    return first - reach, third + reach


def _duplicates(rows: Iterable[_Row]) -> Iterator[Issue]:
    """Rows of one split with the same images and question: contradictions, or repeats after the first."""
    groups: dict[tuple[str, tuple[str, ...], str], list[_Row]] = defaultdict(list)
    for row in rows:
        if row.target is not None and len(row.images) == len(row.example.question.image_names) > 0:
            groups[row.example.split, row.images, row.example.question.text].append(row)
    for group in groups.values():
        first = group[0]
        if len({row.target for row in group}) > 1:
            for row in group:
                others = [other for other in group if other.target != row.target]
                detail = f"same images and question as {others[0].example.question.where}, which has another answer"
                yield _issue(IssueCode.CONFLICT, row.example, detail)
        else:
            for row in group[1:]:
                message = f"repeats {first.example.question.where}"
                yield _issue(IssueCode.REPEATED_ROW, row.example, message)


def _shared(rows: Sequence[_Row]) -> Iterator[Issue]:
    """Rows whose image, byte for byte, lies in another split too; the training copy is dropped."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for digest in row.images:
            splits[digest].add(row.example.split)
    for row in rows:
        others = set().union(*(splits[digest] for digest in row.images)) - {row.example.split}
        if others:
            detail = f"an image of this row is in {', '.join(sorted(others))} too"
            left_out = row.example.split == TRAINING
            yield _issue(IssueCode.SHARED_IMAGE, row.example, detail, left_out)


def _near(rows: Sequence[_Row], looks: Mapping[str, str]) -> Iterator[Issue]:
    """Rows with an image that looks like one of another split; told only, because different images may look alike."""
    named: dict[str, dict[str, Example]] = defaultdict(dict)  # the first row of each split that has an image
    for row in rows:
        for digest in row.images:
            named[digest].setdefault(row.example.split, row.example)
    near: dict[str, set[str]] = defaultdict(set)
    for one, other in near_pairs({digest: look for digest, look in looks.items() if digest in named}):
        near[one].add(other)
        near[other].add(one)
    for row in rows:
        split = row.example.split
        others = [named[other] for digest in row.images for other in sorted(near.get(digest, ()))]
        first = next((by[name] for by in others for name in sorted(by) if name != split), None)
        if first:
            message = f"an image of this row looks like one of {first.question.where}, in {first.split}"
            yield issue_of(row.example.question, IssueCode.NEAR_IMAGE, message, field="ImageName")
