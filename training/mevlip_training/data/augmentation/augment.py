"""From a FLARE tree to one with synthesized training rows.

OUT/training/<category>/<dataset>/<dataset>_questions_train.json         the rows that they were made of
OUT/training/<category>/<dataset>/<dataset>_questions_train_<kind>.json  the synthesized rows of one kind
OUT/training/<category>/<dataset>/...                                    the images, as links where that is possible
OUT/augment.json                                                         choices and counts
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.answers import QuestionSpec
from mevlip.core.errors import InputError
from mevlip.core.files import whole_folder
from mevlip.flare.store import ImageStore
from mevlip.routing.consistency import decide_task
from mevlip.tasks import TaskType
from mevlip_training.data.audit import audit_examples, nothing_left, reasons_to_leave_out
from mevlip_training.data.augmentation.base import DataSet, Draft, Kind, Open, Options, Original, kinds
from mevlip_training.data.pictures import survey
from mevlip_training.data.records import TRAINING, Example, Examples, read_examples
from mevlip_training.data.trees import place_images, refuse_namesakes, write_question_files
from mevlip_validation.targets import TargetError, write_target

MARK = "augment.json"
FIELD = "Augmented"
"""Field of a synthesized record: its kind and the id of the row that it was made of. Nothing reads it."""

AMBIGUOUS = "another row's answer to the same would differ"
REPEATED = "another row asks the same"
UNBALANCED = "its right option would stand where others already do"
UNREADABLE = "its answer would not be read back"


@dataclass(frozen=True)
class Choices:
    """What is synthesized.

    Attributes:
        kinds: Names of the kinds; none for all.
        share: Share of the rows that a kind applies to, in each data set.
        options: Options of a question made of labels, where the data set has so many; 2 to 26.
        only_new: Whether the rows that others are made of are not written.
        seed: Seed of all drawing.
    """

    kinds: Collection[str] = ()
    share: float = 1.0
    options: int = 4
    only_new: bool = False
    seed: int = 2025


@dataclass
class Augmented:
    """What was written.

    Attributes:
        written: Number of synthesized rows by kind and data set.
        passed_over: Number of rows that a kind applies to but that were not written, by kind and reason.
        originals: Number of rows that they were made of.
        other_splits: Number of rows of other splits, which nothing is made of.
        left_out: Number of training rows that the checks leave out, by reason.
    """

    written: Counter[tuple[str, str]] = field(default_factory=Counter)
    passed_over: Counter[tuple[str, str]] = field(default_factory=Counter)
    originals: int = 0
    other_splits: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def augment(source: Path, out: Path, choices: Choices, quiet: bool = False) -> Augmented:
    """Writes a FLARE tree with synthesized training rows.

    Only rows of the training split are taken, and of these none that the checks leave out of training. Equal seeds
    write equal bytes.

    Args:
        source: A FLARE tree, or its training split.
        out: The folder to write; it appears whole or not at all.
        choices: What is synthesized.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is no training row, no kind of a name, nothing to make, or a data set of one name in two
            places.
        EnvironmentProblem: `out` is not empty and not of this command's making.
    """
    wanted = _find_kinds(choices.kinds)
    examples = read_examples(source)
    training = _training_rows(examples)
    refuse_namesakes(training)
    done = Augmented(other_splits=len(examples.rows) - len(training))
    with ImageStore(examples.root) as store, whole_folder(out, MARK, examples.root) as folder:
        survey(examples.root, store, (row.question for row in examples.rows), quiet)
        reasons = reasons_to_leave_out(audit_examples(examples, store, quiet))
        kept = [row for row in training if row.question.where not in reasons]
        done.left_out.update(reasons[row.question.where].value for row in training if row.question.where in reasons)
        if not kept:
            raise nothing_left(examples.root, done.left_out, "it has none")
        done.originals = len(kept)
        by_place: dict[PurePosixPath, list[Example]] = defaultdict(list)
        for row in kept:
            by_place[row.place].append(row)
        files: dict[Path, list[dict[str, Any]]] = {}
        shown: list[Example] = []
        for place, rows in by_place.items():
            dataset = DataSet((_original(row, store) for row in rows), choices.options)
            stem = folder / TRAINING / place / f"{place.name}_questions_train"
            if not choices.only_new:
                files[stem.with_suffix(".json")] = [
                    row.question.record | {"Answer": row.answer, "Split": "train"} for row in rows
                ]
                shown += rows
            for name, found in _synthesize(dataset, wanted, choices, done).items():
                done.written[name, place.name] += len(found)
                files[stem.with_name(f"{stem.name}_{name}.json")] = [record for record, _ in found]
                shown += [example for _, example in found]
        if not done.written.total():
            raise InputError(
                f"Nothing can be made of the rows below {examples.root} by {', '.join(one.name for one in wanted)}",
                "Name other kinds with --kind; docs/training.md says what each applies to.",
            )
        place_images(folder / TRAINING, shown, store)
        write_question_files(files)
        _write_summary(folder / MARK, choices, wanted, done)
    return done


def _find_kinds(names: Collection[str]) -> list[Kind]:
    known = kinds()
    for name in names:
        if name not in known:
            raise InputError(f"{name!r} is not a kind of synthesized row", f"Name one of {', '.join(known)}.")
    return [one for name, one in known.items() if name in names or not names]


def _training_rows(examples: Examples) -> list[Example]:
    rows = [row for row in examples.rows if row.split == TRAINING]
    if not rows:
        others = ", ".join(sorted({row.split for row in examples.rows}))
        raise InputError(
            f"{examples.root} holds no training rows, but {others}; nothing is made of rows that are not for training",
            f"Name a tree with a {TRAINING} folder, that folder itself, or rows whose Split is train.",
        )
    return rows


def _original(example: Example, store: ImageStore) -> Original:
    """A row that has passed the checks, so that its pictures can be read and its answer can be written."""
    facts = [store.facts(example.question, name) for name in example.question.image_names]
    size = facts[0].size
    target = write_target(example.task, example.answer, QuestionSpec(example.question.text, size))
    return Original(example, target, size, tuple(one.sha256 for one in facts))


def _synthesize(
    dataset: DataSet, wanted: Iterable[Kind], choices: Choices, done: Augmented
) -> dict[str, list[tuple[dict[str, Any], Example]]]:
    """The records of one data set by kind, each with the row that it was made of."""
    arranger = _Arranger(dataset, choices.seed)
    found = {}
    for one in wanted:
        records = []
        for row, draft in _drafts(dataset, one, choices, done):
            record = arranger.record(one, row, draft)
            if isinstance(record, str):
                done.passed_over[one.name, record] += 1
            else:
                records.append((record, row.example))
        if records:
            found[one.name] = records
    return found


def _drafts(dataset: DataSet, one: Kind, choices: Choices, done: Augmented) -> list[tuple[Original, Draft]]:
    """The share of what a kind makes of a data set; of drafts about the same on the same pictures the first."""
    groups: dict[tuple[tuple[str, ...], str], list[tuple[Original, Draft]]] = defaultdict(list)
    for row in dataset.originals:
        if draft := one.make(row, dataset, _random(choices.seed, one.name, row.example.id)):
            groups[row.pictures, draft.about].append((row, draft))
    made = []
    for group in groups.values():
        if len({repr(_answer(draft)) for _, draft in group}) > 1:
            done.passed_over[one.name, AMBIGUOUS] += len(group)
            continue
        made.append(group[0])
        if len(group) > 1:
            done.passed_over[one.name, REPEATED] += len(group) - 1
    wanted = round(len(made) * choices.share)
    place = str(dataset.originals[0].example.place)
    chosen = set(_random(choices.seed, one.name, place).sample(range(len(made)), wanted))
    return [draft for index, draft in enumerate(made) if index in chosen]


def _answer(draft: Draft) -> Any:
    return draft.answer if isinstance(draft, Open) else draft.right


class _Arranger:
    """Turns drafts into records; right options take every place among as many equally often, but for one.

    Args:
        dataset: The data set.
        seed: Seed of the drawing.
    """

    def __init__(self, dataset: DataSet, seed: int) -> None:
        self._seed = seed
        self._asked = {(row.pictures, row.spec.line) for row in dataset.originals}
        self._places: dict[int, list[int]] = defaultdict(list)  # still to be taken in this round, by number of options

    def record(self, one: Kind, row: Original, draft: Draft) -> dict[str, Any] | str:
        """The record of a draft, or why there is none."""
        if isinstance(draft, Options):
            return self._arranged(one, row, draft)
        return self._finished(one, row, draft.task, draft.text, draft.answer)

    def _arranged(self, one: Kind, row: Original, draft: Options) -> dict[str, Any] | str:
        draw = _random(self._seed, "order", one.name, row.example.id)
        places = self._places[len(draft.wrong) + 1]
        if not places:
            places += draw.sample(range(len(draft.wrong) + 1), len(draft.wrong) + 1)
        reason = UNBALANCED
        for place in list(places):
            for texts in _orders(draft, place, draw):
                text = draft.write(texts)
                spec = QuestionSpec(text or "")
                if text is None or [*spec.options.values()] != texts:
                    return UNREADABLE
                letter = [*spec.options][place]
                record = self._finished(one, row, TaskType.CLASSIFICATION, text, letter)
                if not isinstance(record, str):
                    places.remove(place)
                    return record
                reason = UNBALANCED if record == REPEATED else record
        return reason

    def _finished(self, one: Kind, row: Original, task: TaskType, text: str, answer: Any) -> dict[str, Any] | str:
        if (row.pictures, text) in self._asked:
            return REPEATED
        try:
            said = write_target(task, answer, QuestionSpec(text, row.size))
        except TargetError:
            return UNREADABLE
        same = said == row.target if task is row.example.task and task is not TaskType.CLASSIFICATION else True
        if not same or decide_task(task, text) is not task:
            return UNREADABLE
        self._asked.add((row.pictures, text))
        original = row.example.question.record
        return {
            "TaskType": task.value,
            "Modality": original.get("Modality", ""),
            "ImageName": original["ImageName"],
            "Question": text,
            "Answer": answer,
            "Split": "train",
            FIELD: {"kind": one.name, "from": row.example.id},
        }


def _orders(draft: Options, place: int, draw: random.Random) -> Iterator[list[str]]:
    """The option texts with the right one in a place, the others in a drawn order and, if that will not do, turned."""
    others = draw.sample(draft.wrong, len(draft.wrong))
    for turn in range(len(others)):
        turned = others[turn:] + others[:turn]
        yield [*turned[:place], draft.right, *turned[place:]]


def _random(seed: int, *key: str) -> random.Random:
    return random.Random("/".join((str(seed), *key)))  # noqa: S311 - data, not secrets


def _write_summary(path: Path, choices: Choices, wanted: Sequence[Kind], done: Augmented) -> None:
    summary = {
        "kinds": [one.name for one in wanted],
        "share": choices.share,
        "options": choices.options,
        "seed": choices.seed,
        "only_new": choices.only_new,
        "originals": done.originals,
        "written": {f"{name}/{dataset}": count for (name, dataset), count in sorted(done.written.items())},
    }
    path.write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
