"""Holding out a part of the training data, by image, for validation of one's own."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip.core.files import whole_folder
from mevlip.flare.issues import IssueCode
from mevlip.flare.store import ImageStore
from mevlip.tasks import TaskType
from mevlip_training.data.audit import audit_examples, nothing_left, reasons_to_leave_out
from mevlip_training.data.pictures import near_pairs, survey
from mevlip_training.data.records import TRAINING, Example, read_examples, rows_to_train
from mevlip_training.data.trees import place_images, refuse_namesakes, write_question_files

SPLIT_NAME = "split.json"
VALIDATION = "validation"

Stratum = tuple[str, TaskType]
"""Data set and task."""


@dataclass(frozen=True)
class SplitReport:
    """What was written.

    Attributes:
        training: Number of training rows by data set and task.
        validation: The same for the rows held out.
        left_out: Places of the records in neither part, by what the audit condemns them for.
    """

    training: Counter[Stratum]
    validation: Counter[Stratum]
    left_out: dict[str, list[str]]


def split(source: Path, out: Path, share: float = 0.1, seed: int = 2025, quiet: bool = False) -> SplitReport:
    """Writes OUT/training and OUT/validation as FLARE trees.

    Rows that share an image, or have images that look the same, stay together, so that none is learned and tested; each
    data set and task gives its share as nearly as that allows. The result depends on the seed and on the images'
    content, not on names or order. Records that the audit leaves out of training are in neither part.

    Args:
        source: A FLARE tree with a training split, or a tree that is but one split.
        out: The folder to write; it appears whole or not at all.
        share: Part of the rows to hold out, between 0 and 1.
        seed: Seed of the drawing.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is no question, no training split, no row that can be learned from, or a data set of one name
            in two places.
        EnvironmentProblem: `out` is not empty and not of this command's making, or imagehash is not installed.
    """
    examples = read_examples(source)
    candidates = rows_to_train(examples)
    refuse_namesakes(candidates)
    with ImageStore(examples.root) as store, whole_folder(out, SPLIT_NAME, examples.root) as folder:
        looks = survey(examples.root, store, (row.question for row in examples.rows), quiet, compare=True)
        reasons = reasons_to_leave_out(audit_examples(examples, store, quiet))
        left_out = _left_out(candidates, reasons)
        rows = [row for row in candidates if row.question.where not in reasons]
        if not rows:
            causes = Counter({reason: len(places) for reason, places in left_out.items()})
            raise nothing_left(examples.root, causes, "it has none")
        keys = _image_keys(rows, store, looks)
        held_out = hold_out([(row.dataset, row.task) for row in rows], keys, share, seed)
        parts = (
            (TRAINING, [row for index, row in enumerate(rows) if index not in held_out]),
            (VALIDATION, [row for index, row in enumerate(rows) if index in held_out]),
        )
        for name, part in parts:
            place_images(folder / name, part, store)
            _write_questions(folder / name, part, truth_apart=name == VALIDATION)
        training, validation = (Counter((row.dataset, row.task) for row in part) for _, part in parts)
        sizes = {name: len(part) for name, part in parts}
        summary = {"share": share, "seed": seed, **sizes, "left_out": left_out}
        (folder / SPLIT_NAME).write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    return SplitReport(training, validation, left_out)


def hold_out(strata: Sequence[Stratum], keys: Sequence[frozenset[str]], share: float, seed: int) -> frozenset[int]:
    """Chooses the rows to hold out.

    Args:
        strata: Data set and task of each row.
        keys: The images of each row, as hashes; rows with a common one are never parted.
        share: Part of each stratum wanted.
        seed: Seed of the drawing.

    Returns:
        Indices of the rows held out. A stratum without ties between its rows gives its share to within half a row.
    """
    groups = list(_groups(keys))
    random.Random(seed).shuffle(groups)  # noqa: S311 - a drawing, no secret
    # Groups that count for several strata go first: those of one stratum can then fill what is left of each.
    groups.sort(key=lambda group: -len({strata[row] for row in group}))
    lacking = {stratum: share * size for stratum, size in Counter(strata).items()}
    chosen: set[int] = set()
    for group in groups:
        sizes = Counter(strata[row] for row in group)
        if sum(abs(lacking[s] - size) - abs(lacking[s]) for s, size in sizes.items()) < 0:
            chosen.update(group)
            lacking |= {s: lacking[s] - size for s, size in sizes.items()}
    return frozenset(chosen)


def _groups(keys: Sequence[frozenset[str]]) -> Iterator[list[int]]:
    """Connected components of rows under common keys, ordered by their least key."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, own in enumerate(keys):
        for key in own:
            rows_of[key].append(row)
    seen: set[int] = set()
    for key in sorted(rows_of):
        group, waiting = [], list(rows_of[key])
        while waiting:
            row = waiting.pop()
            if row not in seen:
                seen.add(row)
                group.append(row)
                waiting.extend(other for own in keys[row] for other in rows_of[own])
        if group:
            yield group


def _left_out(rows: Iterable[Example], reasons: Mapping[str, IssueCode]) -> dict[str, list[str]]:
    """Places of the rows that are left out, by reason, the commonest reason first."""
    places: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if reason := reasons.get(row.question.where):
            places[reason.value].append(row.question.where)
    return dict(sorted(places.items(), key=lambda item: (-len(item[1]), item[0])))


def _image_keys(rows: Sequence[Example], store: ImageStore, looks: Mapping[str, str]) -> list[frozenset[str]]:
    """Hashes of each row's images, all of which the audit has read, and a key for each pair that looks alike."""
    shown = [{store.facts(row.question, name).sha256 for name in row.question.image_names} for row in rows]
    pairs: dict[str, set[str]] = defaultdict(set)
    for pair in near_pairs({digest: looks[digest] for digest in set().union(*shown) if digest in looks}):
        for digest in pair:
            pairs[digest].add(" ".join(pair))
    return [frozenset(digests.union(*(pairs.get(one, ()) for one in digests))) for digests in shown]


def _write_questions(root: Path, rows: Iterable[Example], truth_apart: bool) -> None:
    """Writes question files; for validation as the challenge does, the answers in a file of their own."""
    files: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        folder = root / row.place
        record = row.question.record | {"Answer": row.answer, "Split": "val" if truth_apart else "train"}
        if truth_apart:
            files[folder / f"{row.dataset}_questions_val.json"].append(record | {"Answer": ""})
            files[folder / f"{row.dataset}_questions_val_withGT.json"].append(record)
        else:
            files[folder / Path(row.question.file).name].append(record)
    write_question_files(files)
