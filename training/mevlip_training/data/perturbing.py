"""Writing the perturbed copies of rows: their pictures, and targets whose boxes have moved with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.answers.question_spec import QuestionSpec
from mevlip.checkpoints.routes import Intensity
from mevlip.core.errors import InputError
from mevlip.core.progress import Progress
from mevlip.flare.frames.base import shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import image_path
from mevlip.flare.pixels import fit_pixel_budget
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.tasks import TASKS
from mevlip_training.data.mixing import Copy
from mevlip_training.data.processes import with_store
from mevlip_training.data.records import Example
from mevlip_training.data.rows import AdapterRows, Choices, Row
from mevlip_validation.perturbations.asked import Asked, move_boxes
from mevlip_validation.perturbations.geometry import BoxMap
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import modality_named
from mevlip_validation.targets import write_target

logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """A perturbed picture that is to be written.

    Attributes:
        source: The folder of its question file.
        name: The picture's name there.
        path: Where it is written, relative to the prepared folder.
        copy: How it is made worse.
        for_boxes: Whether boxes are asked for.
        budget: Least and most pixels, to which it is fitted first, as the model would get it.
        frame: Which of its file's frames it is.
        intensity: Which values of a volume become black and white.
    """

    source: Path
    name: str
    path: PurePosixPath
    copy: Copy
    for_boxes: bool
    budget: tuple[int, int]
    frame: int = 0
    intensity: Intensity = "volume"


def write_copies(
    folder: Path, root: Path, store: ImageStore, adapters: Mapping[str, AdapterRows], quiet: bool = False
) -> dict[str, AdapterRows]:
    """Writes the pictures of all perturbed copies, each once, and finishes the copies' rows.

    Args:
        folder: The prepared folder.
        root: The store's folder, resolved.
        store: The store of the rows' pictures.
        adapters: The rows of each adapter.
        quiet: Whether to show no progress.

    Returns:
        The rows with copies that name their pictures and say where boxes are now. A copy is left out where all boxes
        have left the picture, or where the picture is too small to be perturbed.

    Raises:
        EnvironmentProblem: A process was killed.
    """
    wanted = dict.fromkeys(
        picture
        for rows in adapters.values()
        for row in rows.mixed
        if row.copy
        for picture in _pictures(row, row.copy, rows.choices, store)
    )
    pictures = list(wanted)
    with Progress("perturbing", len(pictures), "pictures", quiet) as progress:
        moves: dict[Picture, BoxMap | None] = {}
        for picture, moved in zip(
            pictures, with_store(partial(_write, folder=folder), root, store, pictures), strict=True
        ):
            moves[picture] = moved
            progress.advance()
    finished = {}
    for name, rows in adapters.items():
        plain = [row for row in rows.mixed if row.copy is None]
        copies = [
            done
            for row in rows.mixed
            if row.copy and (done := _finish(row, _pictures(row, row.copy, rows.choices, store), rows.choices, moves))
        ]
        if lost := rows.copied - len(copies):
            logger.info("%s: %d perturbed copies left out: nothing to find, or too small a picture", name, lost)
        finished[name] = replace(rows, mixed=[*plain, *copies], copied=len(copies))
    return finished


def _pictures(row: Row, copy: Copy, choices: Choices, store: ImageStore) -> Iterator[Picture]:
    question, settings = row.example.question, choices.route_images
    budget, for_boxes = (settings.min_pixels, settings.max_pixels), _asked(row.example).for_boxes
    for name in row.names:
        path, facts = image_path(name), store.facts(question, name)
        for frame in shown_frames(facts.frames, settings, len(row.names)):
            which = f"/{frame}/{settings.intensity}" if facts.frames > 1 else ""
            key = sha256(f"{facts.sha256}/{budget}/{for_boxes}{which}".encode())
            file = f"{path.stem}-{copy.perturbation}-{copy.level}-{key.hexdigest()[:12]}.png"
            target = PurePosixPath("images", "perturbed", row.example.place, path.with_name(file))
            yield Picture(question.folder, name, target, copy, for_boxes, budget, frame, settings.intensity)


def _asked(example: Example) -> Asked:
    return Asked(example.task, modality_named(example.modality))


def _write(store: ImageStore, picture: Picture, folder: Path) -> BoxMap | None:
    """Writes a picture; gives where it has the boxes of the original, or None where it is too small."""
    with open_frames(store.content(Question(0, "", 0, {}, picture.source), picture.name), picture.intensity) as frames:
        image = next(frames.pictures([picture.frame]))
    fitted = fit_pixel_budget(image, *picture.budget)
    try:
        done = perturb(fitted, *picture.copy, mode="table", for_boxes=picture.for_boxes)
    except InputError:
        return None
    target = folder / picture.path
    target.parent.mkdir(parents=True, exist_ok=True)
    done.picture.save(target, "PNG")
    return done.boxes.at(image.size)


def _finish(
    row: Row, pictures: Iterator[Picture], choices: Choices, moves: Mapping[Picture, BoxMap | None]
) -> Row | None:
    """A copy's row with its pictures and its target; None where it is left out."""
    shown = list(pictures)
    boxes = [moves[picture] for picture in shown]
    first = boxes[0]
    if first is None or None in boxes:
        return None
    target: str | None = row.target
    if _asked(row.example).for_boxes:
        target = _moved_target(row.example, first, choices)
    if target is None:
        return None
    return replace(row, target=target, pictures=tuple(picture.path.as_posix() for picture in shown))


def _moved_target(example: Example, boxes: BoxMap, choices: Choices) -> str | None:
    """What is to be said about a perturbed picture; None where nothing of it is left to be found."""
    spec = QuestionSpec(example.question.text, boxes.size, "pixel")
    answer = TASKS[example.task].answer.parse(write_target(example.task, example.answer, spec), spec)
    assert isinstance(answer, Boxes | InstanceBoxes), "boxes are asked for"  # noqa: S101 - the caller looked
    moved = move_boxes(answer, boxes, _asked(example))
    return write_target(example.task, moved.format(), replace(spec, box_space=choices.box_space)) if moved else None
