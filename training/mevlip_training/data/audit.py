"""Finding faults in a FLARE tree before a model learns them."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mevlip.answers import QuestionSpec
from mevlip.core.progress import Progress
from mevlip.flare.images import ImageError
from mevlip.tasks import TaskType
from mevlip_training.data.findings import Finding, Kind, finding
from mevlip_training.data.images import ImageStore
from mevlip_training.data.records import TRAINING, Example, Examples, has_answer, read_examples
from mevlip_training.data.targets import TargetError, flat_boxes, read_boxes, read_number, write_target

_FAR = 10
"""A measurement so many interquartile ranges beyond the quartiles is a slip of the pen, not a rare case."""

_BOX_TASKS = (TaskType.DETECTION, TaskType.INSTANCE_DETECTION)


@dataclass(frozen=True)
class _Row:
    """An example with what was learned of it.

    Attributes:
        example: The example.
        images: Hash of each readable image, in order.
        size: Width and height of the first image in pixels, where it is readable.
        target: What a model would be taught, boxes in pixels; None where there is nothing to teach.
        findings: Faults that show in the row alone.
    """

    example: Example
    images: tuple[str, ...]
    size: tuple[int, int] | None
    target: str | None
    findings: tuple[Finding, ...]


def audit(root: Path, quiet: bool = False) -> tuple[Finding, ...]:
    """Finds the faults of every split of a FLARE tree; see `Kind` for what is looked for.

    Args:
        root: The tree, its images in folders or archives.
        quiet: Whether to show no progress.

    Returns:
        Findings in the order of files and records.

    Raises:
        InputError: There is no question file.
    """
    examples = read_examples(root)
    with ImageStore(examples.root) as store:
        return audit_examples(examples, store, quiet)


def audit_examples(examples: Examples, store: ImageStore, quiet: bool = False) -> tuple[Finding, ...]:
    """The same for examples that were read already."""
    answered = {row.question.file for row in examples.rows if has_answer(row.answer)}
    rows = []
    with Progress("auditing", len(examples.rows), "rows", quiet) as progress:
        for example in examples.rows:
            rows.append(_examine(example, store, judged=example.question.file in answered))
            progress.advance()
    found = chain(
        chain.from_iterable(row.findings for row in rows), _far_measurements(rows), _duplicates(rows), _shared(rows)
    )
    order = {kind: rank for rank, kind in enumerate(Kind)}
    position = {(row.question.file, row.question.index): row.question.position for row in examples.rows}
    return tuple(sorted(found, key=lambda one: (position[one.file, one.index], order[one.kind])))


def _examine(example: Example, store: ImageStore, judged: bool) -> _Row:
    """Looks at one row; in a file without any answer, which asks what is yet to be answered, at its images only."""
    faults = []
    digests = []
    size = None
    question = example.question
    if not question.image_names:
        faults.append(finding(Kind.BAD_IMAGE, example, "the record's ImageName names no image"))
    for index, name in enumerate(question.image_names):
        try:
            facts = store.facts(question, name)
        except ImageError as error:
            faults.append(finding(Kind.BAD_IMAGE, example, f"image {name!r}: {error}"))
            continue
        digests.append(facts.sha256)
        size = facts.size if index == 0 else size
    spec = QuestionSpec(question.text, size, "pixel")  # in pixels no two answers are rounded into one
    target = None
    if judged:
        try:
            target = write_target(example.task, example.answer, spec)
            faults.extend(_outside(example, size))
        except TargetError as error:
            faults.append(finding(error.kind, example, str(error)))
    return _Row(example, tuple(digests), size, target, tuple(faults))


def _outside(example: Example, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Boxes that stick out; they are clamped in training, as they are in prediction."""
    if size is None or example.task not in _BOX_TASKS:
        return
    width, height = size
    for box in flat_boxes(read_boxes(example.answer)):
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            detail = f"{box} in an image of {width} x {height} pixels; it will be clamped"
            yield finding(Kind.OUTSIDE, example, detail, left_out=False)


def _far_measurements(rows: Iterable[_Row]) -> Iterator[Finding]:
    """Percentages beyond 0..100; other quantities far from the rest of their data set."""
    others: dict[str, list[tuple[Example, float]]] = defaultdict(list)
    for row in rows:
        if row.target is None or row.example.task is not TaskType.REGRESSION:
            continue
        value = float(read_number(row.example.answer, Kind.UNPARSABLE_MEASUREMENT))
        if not _asks_percent(row.example):
            others[row.example.dataset].append((row.example, value))
        elif not 0 <= value <= 100:
            yield finding(Kind.FAR_MEASUREMENT, row.example, f"{value:g} is no percentage")
    for measured in others.values():
        low, high = _fences([value for _, value in measured])
        for example, value in measured:
            if not low <= value <= high:
                yield finding(Kind.FAR_MEASUREMENT, example, f"{value:g} is not within {low:g} to {high:g}")


def _asks_percent(example: Example) -> bool:
    text = example.question.text.lower()
    return "%" in text or "percent" in text


def _fences(values: Sequence[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [0.0] * 3
    reach = _FAR * (third - first) or math.inf  # values that are mostly equal tell nothing about the others
    return first - reach, third + reach


def _duplicates(rows: Iterable[_Row]) -> Iterator[Finding]:
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
                yield finding(Kind.CONFLICT, row.example, detail)
        else:
            for row in group[1:]:
                yield finding(Kind.REPEAT, row.example, f"says again what {first.example.question.where} says")


def _shared(rows: Sequence[_Row]) -> Iterator[Finding]:
    """Rows whose image, byte for byte, lies in another split too; of these the training split gives way."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for digest in row.images:
            splits[digest].add(row.example.split)
    for row in rows:
        others = set().union(*(splits[digest] for digest in row.images)) - {row.example.split}
        if others:
            detail = f"an image of this row is in {', '.join(sorted(others))} too"
            yield finding(Kind.SHARED_IMAGE, row.example, detail, left_out=row.example.split == TRAINING)
