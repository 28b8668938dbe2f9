"""The gallery's data: every question with its answer, and as many small pictures as fit into a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip.core.progress import Progress
from mevlip.core.text import visible
from mevlip.flare.images import find_image, load_image
from mevlip.flare.pixels import ImageError
from mevlip.tasks import TASKS
from mevlip_validation.analysis import Correctness, QuestionResult
from mevlip_validation.disagreements import Cause
from mevlip_validation.matching import Row
from mevlip_validation.metrics.boxes import boxes_of

LONGEST_SIDE = 320
"""Pixels of a picture; boxes are drawn over it at the original's coordinates."""
MOST_BYTES = 24_000_000
"""Pictures beyond this are left out, those of the questions with the most points first."""
PER_QUESTION = 3
_QUALITY = 75


@dataclass(frozen=True)
class Picture:
    """A small picture of an image.

    Attributes:
        data: The picture as a data URI.
        width: Width of the original in pixels.
        height: Its height.
    """

    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """How many images have a picture.

    Attributes:
        shown: Images with one.
        images: All images of the questions.
        unreadable: Images that could not be read.
    """

    shown: int
    images: int
    unreadable: int


def gallery(
    results: Sequence[QuestionResult],
    root: Path,
    most_bytes: int = MOST_BYTES,
    others: Mapping[str, Sequence[QuestionResult]] | None = None,
    why: Mapping[int, Cause] | None = None,
) -> tuple[Pictures, dict[str, Any]]:
    """Collects what the page shows of each question.

    Args:
        results: The result of each question.
        root: The folder that contains all images.
        most_bytes: Bound on the pictures, base64.
        others: The results of other systems by their names, for the same questions in the same order.
        why: Why protocols score a question differently, by the id of its row.

    Returns:
        How many pictures there are, and the page's data.
    """
    root = root.resolve()
    # Stable: ties keep their order.
    order = sorted(results, key=lambda one: (one.correctness is Correctness.RIGHT, one.points))
    numbers: dict[Path, int] = {}
    pictures: list[Picture] = []
    wanted = {path for one in results for path in _paths(one.row, root)}
    spent = failed = 0
    with Progress("drawing", len(wanted), "images", quiet=len(wanted) < 500) as progress:
        for path in dict.fromkeys(path for one in order for path in _paths(one.row, root)):
            if spent >= most_bytes:
                break
            picture = _picture(path)
            progress.advance()
            if picture is None:
                failed += 1
                continue
            numbers[path] = len(pictures)
            pictures.append(picture)
            spent += len(picture.data)
    causes = list(dict.fromkeys((why or {}).values()))
    questions = []
    for place, one in enumerate(results):
        cause = (why or {}).get(id(one.row))
        known = {
            "pictures": [numbers[path] for path in _paths(one.row, root) if path in numbers],
            "others": [_other(answers[place]) for answers in (others or {}).values()],
            "why": None if cause is None else causes.index(cause),
        }
        questions.append(_question(one) | known)
    content = {
        "pictures": [[one.data, one.width, one.height] for one in pictures],
        "others": [visible(name) for name in others or {}],
        "causes": [cause.value for cause in causes],
        "questions": questions,
    }
    return Pictures(len(pictures), len(wanted), failed), content


def _other(one: QuestionResult) -> dict[str, Any]:
    """What another system makes of a question."""
    return {
        "prediction": None if one.row.prediction is None else _shown(one.row.prediction),
        "correctness": one.correctness.value,
        "points": round(one.points, 3),
        "error": None if one.error is None else round(one.error, 3),
        "boxes": [[name, *box] for name, box in boxes_of(one.row.parsed_prediction)],
    }


def _question(one: QuestionResult) -> dict[str, Any]:
    row, how = one.row, one.row.explanation
    return {
        "place": visible(row.place),
        "task": TASKS[row.task].title,
        "dataset": visible(row.dataset),
        "modality": visible(row.modality),
        "question": _shown(row.question),
        "target": _shown(row.target),
        "prediction": None if row.prediction is None else _shown(row.prediction),
        "correctness": one.correctness.value,
        "points": round(one.points, 3),
        "error": None if one.error is None else round(one.error, 3),
        "stage": one.stage,
        "adapter": how.adapter if how else None,
        "router": round(how.router_confidence, 3) if how else None,
        "probability": None if one.probability is None else round(one.probability, 3),
        "target_boxes": [[name, *box] for name, box in boxes_of(row.parsed_target)],
        "prediction_boxes": [[name, *box] for name, box in boxes_of(row.parsed_prediction)],
    }


def _shown(text: str) -> str:
    """A foreign text with its line breaks, but without other characters that cannot be seen."""
    return "\n".join(map(visible, text.split("\n")))


def _paths(row: Row, root: Path) -> list[Path]:
    """The files of a row's first images; images outside of the folder and missing ones are left out."""
    found = []
    for name in row.images[:PER_QUESTION]:
        try:
            found.append(find_image(root, row.folder.resolve(), name))
        except ImageError:
            continue
    return found


def _picture(path: Path) -> Picture | None:
    try:
        image = load_image(path)
    except ImageError:
        return None
    width, height = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=_QUALITY, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{data}", width, height)
