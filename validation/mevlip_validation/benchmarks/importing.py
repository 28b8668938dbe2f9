"""From a published benchmark to an input folder in FLARE's form.

OUT/<category>/<dataset>/imagesTs/...                          its pictures, as links where that is possible
OUT/<category>/<dataset>/<dataset>_questions_test.json         its questions, without answers
OUT/<category>/<dataset>/<dataset>_questions_test_withGT.json  the same with answers
OUT/benchmark.json                                             what was imported

Of the training split the question file has the answers itself, as the challenge's has.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.core.errors import InputError
from mevlip.core.files import link_or_copy, whole_folder
from mevlip.flare.images import image_path
from mevlip.flare.pixels import FORMATS, ImageError
from mevlip.tasks import TaskType
from mevlip_validation.benchmarks.base import Item, Split, Unusable, find
from mevlip_validation.benchmarks.reading import Source

MARK = "benchmark.json"

_FOLDERS: dict[Split, str] = {"train": "imagesTr", "validation": "imagesVal", "test": "imagesTs"}
_SUFFIXES: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
_MOST = 20_000  # records of a question file, which has to stay far below the size that is read


@dataclass
class Imported:
    """What was written.

    Attributes:
        title: The benchmark's name for people.
        questions: Number of questions by data set and task.
        left_out: Number of records that cannot be asked or scored, by reason.
    """

    title: str
    questions: Counter[tuple[str, TaskType]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def import_benchmark(name: str, source: Path, out: Path, split: Split = "test") -> Imported:
    """Writes a benchmark as an input folder with its ground truth.

    Args:
        name: The benchmark's name, see `benchmarks`.
        source: Its folder as it was downloaded and unpacked.
        out: The folder to write; it appears whole or not at all.
        split: The split that is taken.

    Raises:
        InputError: There is no such benchmark, the source does not hold it, or a record is broken; with file, record
            and field.
        EnvironmentProblem: `out` is not empty and not of this command's making, or a package is missing.
    """
    benchmark = find(name)
    folder_in = Source(source)
    done = Imported(benchmark.title)
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with whole_folder(out, MARK, folder_in.root) as folder:
        for found in benchmark.read(folder_in, split):
            if isinstance(found, Unusable):
                done.left_out[str(found)] += 1
                continue
            place = folder / benchmark.category / found.dataset
            names = [*_put(found, folder_in, place, _FOLDERS[split])]
            records[found.dataset].append(
                {
                    "TaskType": found.task.value,
                    "Modality": found.modality,
                    "ImageName": names[0] if len(names) == 1 else names,
                    "Question": found.question,
                    "Answer": found.answer,
                    "Split": _SUFFIXES[split],
                }
            )
            done.questions[found.dataset, found.task] += 1
        if not records:
            raise benchmark.missing(folder_in, split)
        for dataset, rows in records.items():
            _write(folder / benchmark.category / dataset, f"{dataset}_questions_{_SUFFIXES[split]}", rows, split)
        summary = {"benchmark": name, "split": split, "questions": done.questions.total(), "left_out": done.left_out}
        (folder / MARK).write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    return done


def _put(item: Item, source: Source, place: Path, folder: str) -> Iterator[str]:
    """Puts an item's pictures beside its question file; gives their names there."""
    if isinstance(item.image, bytes):
        name = f"{hashlib.sha256(item.image).hexdigest()[:16]}.{_extension(item)}"
        target = place / folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(item.image)
        yield f"{folder}/{name}"
        return
    for name in item.image:
        try:
            path = source.image(name)
        except ImageError as error:
            raise InputError(
                f"{item.where}: field {item.field!r} names {name!r}, which {error}",
                "Unpack the benchmark's pictures where its layout has them.",
            ) from error
        inside = PurePosixPath(folder, image_path(name))
        if not (place / inside).exists():
            link_or_copy(path, place / inside)
        yield inside.as_posix()


def _extension(item: Item) -> str:
    """What a picture's file is called after its dot, by its content."""
    from PIL import Image

    assert isinstance(item.image, bytes)  # noqa: S101 - the caller has looked
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(item.image), formats=FORMATS) as image:
            return str(image.format).lower()
    except Exception as error:  # Pillow's parsers raise many kinds
        raise InputError(
            f"{item.where}: field {item.field!r} holds no readable picture", "Download the file again."
        ) from error


def _write(place: Path, stem: str, rows: Sequence[dict[str, Any]], split: Split) -> None:
    for number, start in enumerate(range(0, len(rows), _MOST), 1):
        part = rows[start : start + _MOST]
        name = stem if number == 1 else f"{stem}_{number}"
        if split == "train":
            _write_list(place / f"{name}.json", part)
            continue
        _write_list(place / f"{name}.json", (row | {"Answer": ""} for row in part))
        _write_list(place / f"{name}_withGT.json", part)


def _write_list(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text(json.dumps([*rows], indent=1) + "\n", "utf-8")
